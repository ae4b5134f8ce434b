#!/usr/bin/env python3
"""llama.cpp's server out of the Python package xllamacpp, started as the program llama-server is.

It knows the arguments that src/engine/llama-server/command.ts passes, and refuses others as the program does.
"""

import os
import sys
import threading

import xllamacpp

SWITCHES = {"--slots", "--no-webui", "--no-context-shift"}
CACHE_TYPES = {
    "f16": xllamacpp.ggml_type.GGML_TYPE_F16,
    "q8_0": xllamacpp.ggml_type.GGML_TYPE_Q8_0,
    "q4_0": xllamacpp.ggml_type.GGML_TYPE_Q4_0,
}
FLASH = {
    "on": xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}


def set_threads(params, count):
    params.cpuparams.n_threads = int(count)
    params.cpuparams_batch.n_threads = int(count)


VALUES = {
    "--model": lambda params, value: setattr(params.model, "path", value),
    "--host": lambda params, value: setattr(params, "hostnames", [value]),
    "--port": lambda params, value: setattr(params, "port", int(value)),
    "--parallel": lambda params, value: setattr(params, "n_parallel", int(value)),
    "--ctx-size": lambda params, value: setattr(params, "n_ctx", int(value)),
    "--threads": set_threads,
    "--batch-size": lambda params, value: setattr(params, "n_batch", int(value)),
    "--ubatch-size": lambda params, value: setattr(params, "n_ubatch", int(value)),
    "--flash-attn": lambda params, value: setattr(params, "flash_attn_type", FLASH[value]),
    "--cache-type-k": lambda params, value: setattr(params, "cache_type_k", CACHE_TYPES[value]),
    "--cache-type-v": lambda params, value: setattr(params, "cache_type_v", CACHE_TYPES[value]),
    # The package's builds for CPUs find nothing else.
    "--device": lambda params, value: None,
    "--n-gpu-layers": lambda params, value: setattr(params, "n_gpu_layers", int(value)),
    "--chat-template": lambda params, value: setattr(params, "chat_template", value),
}


def params_from(arguments):
    params = xllamacpp.CommonParams()
    params.endpoint_slots = True
    params.ui = False
    params.ctx_shift = False
    while arguments:
        name = arguments.pop(0)
        if name in VALUES:
            VALUES[name](params, arguments.pop(0))
        elif name == "--embeddings":
            params.embedding = True
        elif name == "--ignore-eos":
            params.sampling.ignore_eos = True
        elif name not in SWITCHES:
            sys.exit(f"error: invalid argument: {name}")
    params.cache_ram_mib = int(os.environ.get("LLAMA_ARG_CACHE_RAM", "8192"))
    params.fit_params = os.environ.get("LLAMA_ARG_FIT") != "off"
    if "LLAMA_API_KEY" in os.environ:
        params.api_keys = [os.environ["LLAMA_API_KEY"]]
    return params


def main():
    params = params_from(sys.argv[1:])
    try:
        server = xllamacpp.Server(params)
    except RuntimeError:
        # It has said why.
        sys.exit(1)
    threading.Event().wait()
    return server


if __name__ == "__main__":
    main()
