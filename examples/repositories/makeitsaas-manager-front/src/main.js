import './main.css';

const RETRY_MS = 2000;

/** The API's address: as built in, else by the convention that manager-front.… belongs to manager-api.… */
export function apiAddress(domain, location) {
  const host = domain || location.hostname.replace(/^([a-z0-9-]+)-(?:angular|front)\./, '$1-api.');
  return `${location.protocol}//${host}${location.port ? `:${location.port}` : ''}`;
}

function show(state, text, projects = []) {
  const line = document.getElementById('state');
  line.dataset.state = state;
  line.textContent = text;
  document.getElementById('projects').replaceChildren(
    ...projects.map(({ name }) => Object.assign(document.createElement('li'), { textContent: name })),
  );
}

async function load(api) {
  try {
    const answer = await fetch(`${api}/projects`);
    if (!answer.ok) throw new Error(`the API answers ${answer.status}`);
    if (!answer.headers.get('content-type')?.includes('json')) throw new Error(`no API at ${api}`);
    const { projects } = await answer.json();
    show('ready', `${projects.length} project${projects.length === 1 ? '' : 's'}`, projects);
  } catch (error) {
    show('incomplete', `Waiting for the API: ${error.message}`);
    setTimeout(load, RETRY_MS, api);
  }
}

load(apiAddress(__API_DOMAIN__, window.location));
