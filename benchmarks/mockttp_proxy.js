// mockttp as a plain intercepting proxy that writes down each answer: node mockttp_proxy.js PORT
const fs = require("fs");
const mockttp = require("mockttp");

(async () => {
    const https = await mockttp.generateCACertificate();
    const server = mockttp.getLocal({ https });
    await server.forAnyRequest().thenPassThrough({ ignoreHostHttpsErrors: true });
    const lines = fs.createWriteStream("requests.jsonl");
    await server.on("response", (response) => lines.write(JSON.stringify({ id: response.id, status: response.statusCode }) + "\n"));
    await server.start(Number(process.argv[2]));
})();
