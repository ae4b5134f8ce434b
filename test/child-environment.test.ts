import assert from "node:assert/strict";
import { type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { pathToFileURL } from "node:url";
import { parseConfig } from "../src/config/config.ts";
import { AltLasError } from "../src/errors.ts";
import { inheritedEnvironment, startChild } from "../src/gpu/worker/child-environment.ts";
import { newFolder } from "./helpers/server.ts";

const NEEDED = {
  PATH: "/bin",
  Path: "C:\\Windows",
  LC_ALL: "tr_TR.UTF-8",
  LD_LIBRARY_PATH: "/opt/cuda",
  CUDA_VISIBLE_DEVICES: "1",
  ROCR_VISIBLE_DEVICES: "0",
  GGML_VK_VISIBLE_DEVICES: "0",
  LLAMA_ARG_THREADS: "4",
  XDG_SESSION_TYPE: "wayland",
  CUDA_PATH: "/usr/local/cuda",
  OMP_WAIT_POLICY: "passive",
  NODE_EXTRA_CA_CERTS: "/etc/ca.pem",
};

const SECRETS = {
  ALT_LAS_API_KEY: "of the server",
  VLLM_KEY: "of an upstream",
  OTHER_DB_PASSWORD: "of a neighbour",
  AWS_SECRET_ACCESS_KEY: "of the cloud",
  HTTPS_PROXY: "http://user:password@proxy",
  SSH_AUTH_SOCK: "/run/agent",
  // These begin like what GPU drivers and engines read.
  NVIDIA_API_KEY: "nvapi",
  LLAMA_API_KEY: "of somebody's llama-server",
  LLAMA_ARG_HF_TOKEN: "hf",
  LLAMA_ARG_HF_REPO: "secret/model",
  XDG_COOKIE: "of a desktop",
  LC_SESSION: "of a terminal",
  CUDA_LICENSE: "of a compiler",
  GPU_PWD: "of a card",
  AMD_PAT: "of a repository",
  NVIDIA_CREDS: "of a registry",
  HIP_AUTHORIZATION: "Basic …",
  ROCM_PRIVATE_REPO: "of a packager",
};

test("a child process gets what engines and drivers need, and nothing of what else the environment holds", () => {
  assert.deepEqual(inheritedEnvironment({ ...NEEDED, ...SECRETS }, []), NEEDED);
});

test("gpu.worker_environment names what else it gets, but never the server's own key", () => {
  const { gpu } = parseConfig("gpu: { worker_environment: [HTTPS_PROXY, VLLM_KEY] }", "c.yaml");
  const { HTTPS_PROXY, VLLM_KEY } = SECRETS;
  assert.deepEqual(inheritedEnvironment(SECRETS, gpu.worker_environment), { HTTPS_PROXY, VLLM_KEY });
  assert.deepEqual(inheritedEnvironment(SECRETS, ["ALT_LAS_API_KEY"]), {});
  for (const name of ["ALT_LAS_API_KEY", "1ST", "A=B", ""]) {
    assert.throws(
      () => parseConfig(`gpu: { worker_environment: ["${name}"] }`, "c.yaml"),
      (error) => error instanceof AltLasError && /name of an environment variable/.test(error.message),
    );
  }
});

/** Starts a module of this text as the server starts its children; resolves when it has said that it runs. */
async function started(t: TestContext, text: string): Promise<{ child: ChildProcess; words: () => string }> {
  const path = join(newFolder(t), "child.mjs");
  writeFileSync(path, `${text}\nprocess.send("runs");\nprocess.on("message", () => process.send("answers"));`);
  const child = startChild(pathToFileURL(path), { environment: {}, stdio: ["ignore", "ignore", "pipe", "ipc"] });
  t.after(() => child.kill("SIGKILL"));
  let said = "";
  child.stderr!.setEncoding("utf8").on("data", (piece: string) => (said += piece));
  await once(child, "message");
  return { child, words: () => said };
}

test("SIGUSR1 opens no debugger in a child process, which goes on", async (t) => {
  const ours = JSON.stringify(new URL("../src/gpu/worker/child-environment.ts", import.meta.url));
  const { child, words } = await started(t, `import { ignoreSignals } from ${ours}; ignoreSignals();`);
  child.kill("SIGUSR1");
  child.send("?");
  await once(child, "message");
  child.kill("SIGKILL");
  await once(child, "close");
  assert.equal(words(), "");
});

test("SIGUSR1 opens no debugger before a child process listens to signals either", async (t) => {
  const { child, words } = await started(t, "");
  child.kill("SIGUSR1");
  child.send("?");
  await once(child, "message");
  child.kill("SIGKILL");
  await once(child, "close");
  assert.equal(words(), "");
});
