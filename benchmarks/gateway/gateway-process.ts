/** The mini-gateway as a process; its argument is its config. Its log goes nowhere, as into a pipe that is read elsewhere. */
import { checkConfig } from "../../examples/mini-gateway/config.js";
import { startGateway } from "../../examples/mini-gateway/gateway.js";

let lines = 0;
const gateway = await startGateway(checkConfig(JSON.parse(process.argv[2]!)), { write: () => lines++ });
process.send!({ url: gateway.url });
process.on("message", () => {
  const { accuracy, lookups } = gateway.indexer.stats();
  process.send!({
    lookups,
    accuracy,
    connections: gateway.eventConnections,
    codes: gateway.indexer.diagnose().map(({ code }) => code),
    lines,
  });
});
process.on("disconnect", () => process.exit());
