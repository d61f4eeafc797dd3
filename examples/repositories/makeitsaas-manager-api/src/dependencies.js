// What this service needs from others. Each check is repeated until it succeeds, and goes on afterwards, so that
// /health tells what is true now. Nothing here ever ends the process.
import { readFile } from 'node:fs/promises';

import pg from 'pg';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS projects (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
  );
  INSERT INTO projects (name) VALUES ('makeitsaas') ON CONFLICT DO NOTHING`;

export const pool = new pg.Pool({
  host: process.env.DB_HOST ?? '127.0.0.1',
  port: Number(process.env.DB_PORT ?? 5432),
  database: process.env.DB_DATABASE,
  user: process.env.DB_USERNAME,
  password: process.env.DB_PASSWORD,
  max: 5,
  connectionTimeoutMillis: 3000,
});
// A connection that breaks while idle is replaced by the pool; without a listener it would end the process.
pool.on('error', (error) => console.error('database connection lost:', error.code ?? error.message));

let schemaReady = false;

async function database() {
  if (!process.env.DB_DATABASE) throw new Error('DB_DATABASE is not set');
  if (!schemaReady) await pool.query(SCHEMA);
  else await pool.query('SELECT 1');
  schemaReady = true;
}

/** The address of the service with a role, or undefined while nobody has it. */
export async function find(role) {
  const services = JSON.parse(await readFile('.discovery.json', 'utf8'));
  return services.find((service) => service.roles.includes(role))?.url;
}

async function auth() {
  const url = await find('auth');
  if (!url) throw new Error('no service has the role auth');
  const answer = await fetch(`${url}/health`, { signal: AbortSignal.timeout(2000) });
  if (!answer.ok) throw new Error(`auth answers ${answer.status}`);
}

const checks = { database, auth };
const missing = new Set(Object.keys(checks));

export const missingNow = () => Object.keys(checks).filter((name) => missing.has(name));

async function look(name) {
  try {
    await checks[name]();
    if (missing.delete(name)) console.log(`${name} is there`);
  } catch (error) {
    if (!missing.has(name)) console.log(`${name} is missing: ${error.code ?? error.message}`);
    missing.add(name);
  }
}

/** Look at everything, then again: soon while something is missing, seldom afterwards. */
export async function watch() {
  await Promise.all(Object.keys(checks).map(look));
  setTimeout(watch, missing.size ? 500 : 5000).unref();
}
