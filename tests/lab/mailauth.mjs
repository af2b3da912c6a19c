// Reads a message a line (JSON), and writes what mailauth says of each (JSON).
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const { authenticate } = createRequire(`${process.argv[2]}/`)("mailauth");

for await (const line of createInterface({ input: process.stdin })) {
  const { message, ...session } = JSON.parse(line);
  let said;
  try {
    const { dmarc } = await authenticate(Buffer.from(message, "latin1"), {
      ...session,
      disableArc: true,
      disableBimi: true,
    });
    said = { result: dmarc?.status?.result ?? "", domain: dmarc?.status?.header?.from ?? "" };
  } catch (error) {
    said = { result: "exception", domain: String(error) };
  }
  process.stdout.write(`${JSON.stringify(said)}\n`);
}
