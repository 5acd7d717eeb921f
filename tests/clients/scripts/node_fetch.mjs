// Node's own fetch: through a proxy only where a dispatcher of undici is set.
const { EnvHttpProxyAgent, setGlobalDispatcher } = await import("undici").catch(() => ({}));
const [dispatcher, ...urls] = process.argv.slice(2);
if (dispatcher === "dispatcher") setGlobalDispatcher(new EnvHttpProxyAgent());
for (const url of urls) {
  try {
    const answer = await fetch(url);
    await answer.arrayBuffer();
    console.log(answer.status, url);
  } catch (error) {
    console.log(error.name, url, error.cause?.code ?? error.message);
  }
}
