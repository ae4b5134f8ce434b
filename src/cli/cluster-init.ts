/** `alt-las cluster init`: the keys of a cluster, in a new folder. */
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Account, newAccount } from "../cluster/credentials.ts";
import { writePrivateFile } from "../common/json-file.ts";
import { faultOfNats, natsUrls } from "../config/config.ts";
import { AltLasError, messageOf } from "../errors.ts";

/** @returns the text to print @throws {AltLasError} `bad_config`: the address is none, or the folder is there or cannot be made */
export async function initCommand(folder: string, nats: string): Promise<string> {
  const fault = faultOfNats(nats);
  if (fault !== null) throw new AltLasError("bad_config", `--nats ${fault}`);
  const place = resolve(folder);
  const account = await newAccount();
  try {
    mkdirSync(place, { mode: 0o700 });
  } catch (error) {
    const there =
      (error as { code?: unknown }).code === "EEXIST" ? "is there already" : `cannot be made: ${messageOf(error)}`;
    throw new AltLasError("bad_config", `${place} ${there}. Name a new folder: keys are not overwritten.`, {
      cause: error,
    });
  }
  const paths = { conf: join(place, "nats.conf"), creds: join(place, "server.creds"), key: join(place, "account.nk") };
  const operatorPath = join(place, "operator.nk");
  writePrivateFile(paths.conf, natsConf(nats, account, place));
  writePrivateFile(paths.creds, account.serverCredentials);
  writePrivateFile(paths.key, `${account.seed}\n`);
  writePrivateFile(operatorPath, `${account.operatorKeys.operator}\n${account.operatorKeys.system}\n`);
  return `Made in ${place}:
  nats.conf     for each NATS server: nats-server -c nats.conf
  server.creds  lets servers of ALT_LAS in
  account.nk    signs what new machines may do; with it anybody can be let in
  operator.nk   signs the account; with it machines are locked out

Each server's configuration has:
cluster:
  nats: ${yamlOf(nats)}
  credentials: ${paths.creds}
  signing_key: ${paths.key}
  operator_key: ${operatorPath}

Then alt-las cluster token prints the line for each new machine.`;
}

function yamlOf(nats: string): string {
  const urls = natsUrls(nats);
  return urls.length === 1 ? nats : `[${urls.join(", ")}]`;
}

function natsConf(nats: string, { operator, system, key, jwt }: Account, place: string): string {
  const { protocol, port, hostname } = new URL(natsUrls(nats)[0]!);
  const isPlain = protocol === "nats:";
  const tls = `
tls {
  cert_file: "/etc/nats/cert.pem"
  key_file: "/etc/nats/key.pem"
}
`;
  return `# Made by alt-las cluster init. It has no secret: keys stand in the files beside it.
listen: "${isPlain ? hostname : "0.0.0.0"}:${port === "" ? "4222" : port}"
${isPlain ? "" : tls}
# Who has credentials that the key of this account has signed is let in, and may do what stands in them.
operator: ${operator}
system_account: ${system.key}
# Accounts as the servers of ALT_LAS have told them last, with the machines that are locked out. It has to outlive a restart.
resolver: {
  type: full
  dir: "${isPlain ? join(place, "jwt") : "/var/lib/nats/jwt"}"
}
resolver_preload: {
  ${key}: ${jwt}
  ${system.key}: ${system.jwt}
}
`;
}
