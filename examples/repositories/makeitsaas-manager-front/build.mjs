import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { relative } from 'node:path';

import { build } from 'esbuild';

const cdn = process.env.CDN_PATH ?? '';
const assets = cdn.startsWith('https://') ? cdn.replace(/\/?$/, '/') : '';
const base = (process.env.BASE_PATH ?? '/').replace(/\/?$/, '/');

await rm('dist', { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: ['src/main.js'],
  bundle: true,
  minify: true,
  sourcemap: true,
  target: 'es2022',
  format: 'esm',
  outdir: 'dist',
  entryNames: 'assets/[name]-[hash]',
  define: { __API_DOMAIN__: JSON.stringify(process.env.API_DOMAIN ?? '') },
  metafile: true,
  logLevel: 'info',
});

const built = (ending) => assets + relative('dist', Object.keys(metafile.outputs).find((name) => name.endsWith(ending)));
const page = (await readFile('public/index.html', 'utf8'))
  .replace('%BASE_PATH%', base)
  .replace('%STYLE%', built('.css'))
  .replace('%SCRIPT%', built('.js'));
await mkdir('dist', { recursive: true });
await writeFile('dist/index.html', page);
