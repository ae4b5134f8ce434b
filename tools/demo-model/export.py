"""Write a trained model and its tokenizer as one GGUF file."""

import json
import os
from pathlib import Path

import gguf
import numpy as np
from tokenizers import Tokenizer

from model import Config

END_OF_TEXT = "<|endoftext|>"
# The model knows no turns: it continues the last message of a user as if it were a text.
CHAT_TEMPLATE = "{{ (messages | selectattr('role', 'equalto', 'user') | list | last).content }}"


def export(path: Path, params: dict[str, np.ndarray], tokenizer: Tokenizer, cfg: Config) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Readers may have the old file open: they must see either file whole.
    partial = path.with_name(path.name + ".partial")
    writer = gguf.GGUFWriter(partial, "llama")
    _add_metadata(writer, cfg)
    _add_tokenizer(writer, tokenizer)
    for name, value in params.items():
        tensor = np.asarray(value, np.float32)
        if tensor.ndim == 2:
            # Eight bits a weight costs this model nothing measurable and halves
            # the file.  Norm gains stay exact: they are few and multiply everything.
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(partial, path)


def _add_metadata(writer: gguf.GGUFWriter, cfg: Config) -> None:
    writer.add_name("demo")
    writer.add_description("A tiny story model for tests and first runs. It knows simple English only.")
    writer.add_license("mit")
    writer.add_languages(["en"])
    writer.add_tags(["text-generation", "demo"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(cfg.vocab)
    writer.add_context_length(cfg.context)
    writer.add_embedding_length(cfg.dim)
    writer.add_block_count(cfg.layers)
    writer.add_feed_forward_length(cfg.hidden)
    writer.add_head_count(cfg.heads)
    writer.add_head_count_kv(cfg.kv_heads)
    writer.add_key_length(cfg.head_dim)
    writer.add_value_length(cfg.head_dim)
    writer.add_rope_dimension_count(cfg.head_dim)
    writer.add_rope_freq_base(cfg.rope_base)
    writer.add_layer_norm_rms_eps(cfg.norm_eps)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    bpe = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(bpe["vocab"], key=bpe["vocab"].get)
    end = bpe["vocab"][END_OF_TEXT]
    kinds = [gguf.TokenType.NORMAL] * len(tokens)
    kinds[end] = gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    # One token both opens and closes a text, as in the training stream.
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
