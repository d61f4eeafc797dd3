import { createHash, randomBytes, scryptSync, timingSafeEqual } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';

import { issue, signingKey, verify } from './tokens.js';

const LIMIT = 1024 * 1024;
const base = (process.env.BASE_PATH ?? '/').replace(/\/$/, '');
const key = signingKey();
const accounts = new Map();

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function body(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > LIMIT) throw new Refused(413, 'more than 1 MiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function json(buffer) {
  try {
    return JSON.parse(buffer.toString());
  } catch {
    throw new Refused(400, 'the body is not JSON');
  }
}

async function login(request) {
  const { user, password } = json(await body(request));
  if (typeof user !== 'string' || !user || typeof password !== 'string' || !password) {
    throw new Refused(400, 'user and password are needed');
  }
  const known = accounts.get(user);
  const salt = known?.salt ?? randomBytes(16);
  const hash = scryptSync(password, salt, 32);
  if (known && !timingSafeEqual(known.hash, hash)) throw new Refused(401, 'wrong password');
  accounts.set(user, { salt, hash });
  return { token: issue(key, user) };
}

function signedIn(request) {
  const [scheme, token] = (request.headers.authorization ?? '').split(' ');
  const user = scheme === 'Bearer' && token ? verify(key, token) : null;
  if (!user) throw new Refused(401, 'a valid token is needed');
  return { user };
}

async function discovery() {
  try {
    return { services: JSON.parse(await readFile('.discovery.json', 'utf8')) };
  } catch (error) {
    if (error.code === 'ENOENT') return { services: [] };
    throw error;
  }
}

async function upload(request, name) {
  signedIn(request);
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) throw new Refused(400, 'not a plain file name');
  const content = await body(request);
  await mkdir('uploads', { recursive: true });
  await writeFile(`uploads/${name}`, content);
  return { name, size: content.length, sha256: createHash('sha256').update(content).digest('hex') };
}

function route(request) {
  const { pathname } = new URL(request.url, 'http://localhost');
  const path = base && (pathname === base || pathname.startsWith(`${base}/`)) ? pathname.slice(base.length) : pathname;
  const call = `${request.method} ${path || '/'}`;
  if (call === 'GET /health') return { status: 'ready' };
  if (call === 'GET /') return { service: 'makeitsaas-auth-instance', roles: ['auth', 'discovery', 'upload'] };
  if (call === 'POST /login') return login(request);
  if (call === 'GET /me') return signedIn(request);
  if (call === 'GET /discovery') return discovery();
  if (call.startsWith('PUT /upload/')) return upload(request, path.slice('/upload/'.length));
  throw new Refused(404, 'no such page');
}

const server = createServer(async (request, response) => {
  let status = 200;
  let answer;
  try {
    answer = await route(request);
  } catch (error) {
    status = error.status ?? 500;
    answer = { error: error.status ? error.message : 'internal error' };
    if (!error.status) console.error(error);
  }
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(answer)}\n`);
});

server.listen(Number(process.env.PORT ?? 3000), process.env.HOST ?? '127.0.0.1', () => {
  console.log(`listening on ${server.address().address}:${server.address().port}`);
});
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    server.close(() => process.exit(0));
    server.closeAllConnections();
  });
}
