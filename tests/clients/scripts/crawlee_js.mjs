// Crawlee for JavaScript: the proxy from ProxyConfiguration, where it is given one.
import { CheerioCrawler, Configuration, LogLevel, ProxyConfiguration, log } from "@crawlee/cheerio";

log.setLevel(LogLevel.OFF);
const proxy = process.env.CRAWLER_PROXY;
const crawler = new CheerioCrawler(
  {
    proxyConfiguration: proxy ? new ProxyConfiguration({ proxyUrls: [proxy] }) : undefined,
    maxRequestRetries: 0,
    retryOnBlocked: false,
    sessionPoolOptions: { blockedStatusCodes: [] },
    ignoreHttpErrorStatusCodes: [403],
    additionalMimeTypes: ["application/problem+json"],
    requestHandler: ({ request, response }) => console.log(response.statusCode, request.url),
    failedRequestHandler: ({ request }, error) => console.log(error.name, request.url, error.message.split("\n")[0]),
  },
  new Configuration({ persistStorage: false }),
);
await crawler.run(process.argv.slice(2));
