import { createServer } from 'node:http';

import { find, missingNow, pool, watch } from './dependencies.js';

const LIMIT = 64 * 1024;
const base = (process.env.BASE_PATH ?? '/').replace(/\/$/, '');

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function health() {
  const missing = missingNow();
  return missing.length ? [503, { status: 'incomplete', missing }] : [200, { status: 'ready' }];
}

async function about() {
  const auth = await find('auth').catch(() => undefined);
  return [200, { service: 'makeitsaas-manager-api', database: process.env.DB_DATABASE ?? null, auth: auth ?? null }];
}

async function projects() {
  const { rows } = await pool.query('SELECT id, name, created_at FROM projects ORDER BY id');
  return [200, { projects: rows }];
}

async function userOf(request) {
  const url = await find('auth').catch(() => undefined);
  if (!url) throw new Refused(503, 'the auth service is missing');
  const answer = await fetch(`${url}/me`, {
    headers: { authorization: request.headers.authorization ?? '' },
    signal: AbortSignal.timeout(3000),
  });
  if (!answer.ok) throw new Refused(401, 'a valid token is needed');
  return (await answer.json()).user;
}

async function body(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > LIMIT) throw new Refused(413, 'more than 64 KiB');
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new Refused(400, 'the body is not JSON');
  }
}

async function addProject(request) {
  const user = await userOf(request);
  const { name } = await body(request);
  if (typeof name !== 'string' || !/^[\w .-]{1,80}$/.test(name)) throw new Refused(400, 'name is needed');
  const { rows } = await pool.query(
    'INSERT INTO projects (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET name = $1 RETURNING id, name',
    [name],
  );
  return [201, { ...rows[0], by: user }];
}

async function route(request) {
  const { pathname } = new URL(request.url, 'http://localhost');
  const path = base && (pathname === base || pathname.startsWith(`${base}/`)) ? pathname.slice(base.length) : pathname;
  const call = `${request.method} ${path || '/'}`;
  if (call === 'GET /health') return health();
  if (call === 'GET /') return about();
  if (call === 'GET /projects') return projects();
  if (call === 'POST /projects') return addProject(request);
  throw new Refused(404, 'no such page');
}

async function answer(request) {
  try {
    return await route(request);
  } catch (error) {
    if (error.status) return [error.status, { error: error.message }];
    console.error(error.code ?? '', error.message);
    const missing = missingNow();
    return missing.length ? [503, { status: 'incomplete', missing }] : [500, { error: 'internal error' }];
  }
}

const server = createServer(async (request, response) => {
  const [status, content] = await answer(request);
  response.writeHead(status, {
    'content-type': 'application/json',
    'access-control-allow-origin': '*',
    ...(status === 503 ? { 'retry-after': '2' } : {}),
  });
  response.end(`${JSON.stringify(content)}\n`);
});

server.listen(Number(process.env.PORT ?? 3000), process.env.HOST ?? '127.0.0.1', () => {
  console.log(`listening on ${server.address().address}:${server.address().port}`);
});
watch();

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    server.close(() => process.exit(0));
    server.closeAllConnections();
  });
}
