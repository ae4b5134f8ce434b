/** The routers of others: where each comes from, and how it is told to stand before some servers with OpenAI's API. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { UPSTREAM_MODEL } from "../upstream-words.ts";
import { fromDebian, fromGo, fromPyPI, type Program } from "./cupboard.ts";
import { freePort } from "../../src/common/free-port.ts";
import type { Command } from "./running.ts";

/** What a router is started with. */
export interface Place {
  readonly program: Program;
  /** For its configuration and its log. */
  readonly folder: string;
  /** It listens there, on the loopback interface. */
  readonly port: number;
  /** Of the servers behind it. */
  readonly upstreams: readonly number[];
}

export interface Router {
  readonly name: string;
  /** How it shares requests among several servers; null: it has one server for each model. */
  readonly policy: string | null;
  /** The path of chat completions. */
  readonly path: string;
  /** Takes half a minute to start and a second for a score of answers: only where it is asked for. */
  readonly isSlow?: true;
  provide(): Promise<Program>;
  command(place: Place): Command | Promise<Command>;
}

const CHAT = "/v1/chat/completions";
const LOOPBACK = "127.0.0.1";

export const ROUTERS: readonly Router[] = [
  {
    name: "nginx",
    policy: "least_conn",
    path: CHAT,
    provide: () => fromDebian("nginx", "nginx-light", /nginx\/(\S+)/),
    command: nginx,
  },
  haproxy("leastconn", null),
  haproxy("leastconn, maxconn 4", 4),
  rustRouter("vLLM router", "power_of_two", () => fromPyPI("vllm-router==0.1.17", "vllm-router"), []),
  rustRouter("vLLM router", "cache_aware", () => fromPyPI("vllm-router==0.1.17", "vllm-router"), []),
  rustRouter("SGLang router", "power_of_two", () => fromPyPI("sglang-router==0.3.2", "sglang-router"), ["launch"]),
  {
    name: "llama-swap",
    policy: null,
    path: CHAT,
    provide: () => fromGo("llama-swap", "github.com/mostlygeek/llama-swap", "v0.0.0-20260822162957-0bdb3720199f"),
    command: llamaSwap,
  },
  {
    name: "Olla",
    policy: "least-connections",
    path: `/olla/openai${CHAT}`,
    provide: () => fromGo("olla", "github.com/thushan/olla", "v0.0.27"),
    command: olla,
  },
  {
    name: "LiteLLM",
    policy: "least-busy",
    path: CHAT,
    isSlow: true,
    provide: () => fromPyPI("litellm[proxy]==1.108.3", "litellm"),
    command: litellm,
  },
];

function haproxy(policy: string, maxconn: number | null): Router {
  return {
    name: "HAProxy",
    policy,
    path: CHAT,
    provide: () => fromDebian("haproxy", "haproxy", /version (\S+)/),
    command: ({ program, folder, port, upstreams }) => {
      const most = maxconn === null ? "" : ` maxconn ${maxconn}`;
      const servers = upstreams.map((upstream, index) => `  server s${index} ${LOOPBACK}:${upstream}${most}`);
      // Without http-no-delay it holds the small pieces of a stream back.
      const config = `defaults
  mode http
  option http-no-delay
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout queue 60s
frontend all
  bind ${LOOPBACK}:${port}
  default_backend servers
backend servers
  balance leastconn
${servers.join("\n")}
`;
      return { ...program, program: program.path, folder, args: ["-db", "-f", written(folder, "haproxy.cfg", config)] };
    },
  };
}

function nginx({ program, folder, port, upstreams }: Place): Command {
  const isRoot = process.getuid?.() === 0;
  const config = `daemon off;
pid ${folder}/pid;
error_log stderr;
${isRoot ? "user root;\n" : ""}worker_processes auto;
events { worker_connections 2048; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  upstream servers {
    least_conn;
    zone servers 64k;
${upstreams.map((upstream) => `    server ${LOOPBACK}:${upstream};`).join("\n")}
    keepalive 256;
    keepalive_requests 1000000;
  }
  server {
    listen ${LOOPBACK}:${port};
    keepalive_requests 1000000;
    location / {
      proxy_pass http://servers;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`;
  return {
    ...program,
    program: program.path,
    folder,
    args: ["-p", folder, "-e", "stderr", "-c", written(folder, "nginx.conf", config)],
  };
}

/** vLLM's router and SGLang's, which has grown from the same code. */
function rustRouter(name: string, policy: string, provide: () => Promise<Program>, first: readonly string[]): Router {
  return {
    name,
    policy,
    path: CHAT,
    provide,
    command: async ({ program, folder, port, upstreams }) => ({
      ...program,
      program: program.path,
      folder,
      args: [
        ...first,
        // It refuses to choose one of two where there is one.
        ...`--host ${LOOPBACK} --port ${port} --policy ${upstreams.length === 1 ? "round_robin" : policy}`.split(" "),
        ...`--prometheus-host ${LOOPBACK} --prometheus-port ${await freePort()}`.split(" "),
        ...`--health-check-endpoint /v1/models --worker-startup-check-interval 1`.split(" "),
        "--worker-urls",
        ...upstreams.map(urlOf),
      ],
    }),
  };
}

/** It starts a program for each model; here that one only waits, and the server is there already. */
function llamaSwap({ program, folder, port, upstreams }: Place): Command {
  // By default it refuses all beyond ten at once.
  const model = {
    cmd: "sleep 86400",
    concurrencyLimit: 1000,
    proxy: urlOf(upstreams[0]!),
    checkEndpoint: "/v1/models",
  };
  const config = written(folder, "llama-swap.json", JSON.stringify({ models: { [UPSTREAM_MODEL]: model } }));
  return {
    ...program,
    program: program.path,
    folder,
    args: ["--config", config, "--listen", `${LOOPBACK}:${port}`],
  };
}

function olla({ program, folder, port, upstreams }: Place): Command {
  const unlimited = 1_000_000_000;
  const config = {
    server: {
      host: LOOPBACK,
      port,
      request_logging: false,
      rate_limits: {
        global_requests_per_minute: unlimited,
        per_ip_requests_per_minute: unlimited,
        health_requests_per_minute: unlimited,
        burst_size: unlimited,
      },
    },
    proxy: { engine: "olla", profile: "streaming", load_balancer: "least-connections" },
    discovery: {
      type: "static",
      static: {
        endpoints: upstreams.map((upstream, index) => ({
          url: urlOf(upstream),
          name: `s${index}`,
          type: "openai",
          priority: 100,
          model_url: "/v1/models",
          health_check_url: "/v1/models",
          check_interval: "5s",
          check_timeout: "2s",
        })),
      },
    },
    logging: { level: "warn", format: "json", output: "stdout" },
  };
  return {
    ...program,
    program: program.path,
    folder,
    args: ["--config", written(folder, "olla.yaml", JSON.stringify(config))],
  };
}

function litellm({ program, folder, port, upstreams }: Place): Command {
  const config = {
    model_list: upstreams.map((upstream) => ({
      model_name: UPSTREAM_MODEL,
      litellm_params: { model: `openai/${UPSTREAM_MODEL}`, api_base: `${urlOf(upstream)}/v1`, api_key: "none" },
    })),
    router_settings: { routing_strategy: "least-busy", num_retries: 0 },
    litellm_settings: { telemetry: false },
    // It listens on the loopback interface alone, and would want a key that the other routers do not look at.
    general_settings: { dangerously_permit_weak_or_unset_master_key: true },
  };
  const file = written(folder, "litellm.yaml", JSON.stringify(config));
  return {
    program: program.path,
    folder,
    // Else it asks a hub for what models cost.
    environment: { ...program.environment, LITELLM_LOCAL_MODEL_COST_MAP: "True" },
    args: ["--config", file, "--host", LOOPBACK, "--port", String(port)],
  };
}

function urlOf(port: number): string {
  return `http://${LOOPBACK}:${port}`;
}

/** JSON is YAML. */
function written(folder: string, name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}
