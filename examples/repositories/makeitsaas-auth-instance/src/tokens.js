// Tokens: JSON Web Tokens with HS256. The key comes from a secret of the environment, so that it survives restarts.
import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';

const LIFETIME_S = 3600;
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

export function signingKey(secret = process.env.DB_PASSWORD) {
  const material = secret ? Buffer.from(secret) : randomBytes(32);
  return Buffer.from(hkdfSync('sha256', material, '', 'makeitsaas-auth tokens', 32));
}

const sign = (key, text) => createHmac('sha256', key).update(text).digest();

export function issue(key, user, now = Date.now()) {
  const at = Math.floor(now / 1000);
  const body = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: user, iat: at, exp: at + LIFETIME_S })}`;
  return `${body}.${sign(key, body).toString('base64url')}`;
}

/** The user of a valid token, else null. */
export function verify(key, token, now = Date.now()) {
  const [head, payload, signature, ...rest] = token.split('.');
  if (!signature || rest.length) return null;
  const given = Buffer.from(signature, 'base64url');
  const expected = sign(key, `${head}.${payload}`);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null;
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  return claims.exp > now / 1000 ? claims.sub : null;
}
