#!/usr/bin/env python3
"""minilm_to_gguf.py MODEL_FOLDER OUT.gguf

Writes a BERT sentence encoder (model.safetensors, config.json, vocab.txt,
1_Pooling/config.json as sentence-transformers publishes them) as GGUF: matrices
F16, all else F32, in one fixed order, so that the same input gives the same bytes.
"""

import json
import struct
import sys
from pathlib import Path

import gguf
import numpy

MAX_HEADER = 16 << 20

# Hugging Face's name of a tensor, and GGUF's; {} is the number of the layer.
ONCE = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
# Looked up and added to activations by row, not multiplied: kept exact.
EXACT = {"position_embd.weight", "token_types.weight"}


def read_safetensors(path):
    """The file's tensors by name, as float32 views of the mapped file."""
    data = numpy.memmap(path, dtype=numpy.uint8, mode="r")
    (size,) = struct.unpack("<Q", data[:8].tobytes())
    if size > min(MAX_HEADER, len(data) - 8):
        sys.exit(f"{path}: its header claims {size} bytes; the file is damaged")
    header = json.loads(data[8 : 8 + size].tobytes())
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = entry["data_offsets"]
            bytes_ = data[8 + size + start : 8 + size + end]
            tensors[name] = bytes_.view(numpy.float32).reshape(entry["shape"])
    return tensors


def read_vocabulary(path):
    """Tokens in llama.cpp's form of WordPiece, and the type of each.

    BERT marks what continues a word (##ing); llama.cpp marks what begins one
    with U+2581 and leaves a continuation bare. Tokens in brackets are control.
    """
    tokens, types = [], []
    for token in path.read_text(encoding="utf-8").rstrip("\n").split("\n"):
        kind = gguf.TokenType.NORMAL
        if token.startswith("[") and token.endswith("]") and len(token) > 2:
            unused = token.startswith("[unused")
            kind = gguf.TokenType.UNUSED if unused else gguf.TokenType.CONTROL
            kind = gguf.TokenType.UNKNOWN if token == "[UNK]" else kind
        elif token.startswith("##"):
            token = token[2:]
        else:
            token = "\u2581" + token
        tokens.append(token)
        types.append(kind)
    return tokens, types


def add_description(out, config):
    out.add_name("all-MiniLM-L6-v2")
    out.add_organization("sentence-transformers")
    out.add_license("apache-2.0")
    out.add_languages(["en"])
    out.add_tags(["sentence-similarity", "feature-extraction"])
    out.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    out.add_context_length(config["max_position_embeddings"])
    out.add_embedding_length(config["hidden_size"])
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_block_count(config["num_hidden_layers"])
    out.add_head_count(config["num_attention_heads"])
    out.add_layer_norm_eps(config["layer_norm_eps"])
    out.add_causal_attention(False)
    out.add_pooling_type(gguf.PoolingType.MEAN)


def add_tokenizer(out, folder, config):
    tokens, types = read_vocabulary(folder / "vocab.txt")
    if len(tokens) != config["vocab_size"]:
        sys.exit(f"{folder}/vocab.txt has {len(tokens)} tokens, config.json says {config['vocab_size']}")
    out.add_tokenizer_model("bert")
    out.add_tokenizer_pre("default")
    out.add_token_list(tokens)
    out.add_token_types(types)
    out.add_token_type_count(config["type_vocab_size"])
    special = {name: tokens.index(name) for name in ("[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]")}
    out.add_bos_token_id(special["[CLS]"])
    out.add_unk_token_id(special["[UNK]"])
    out.add_sep_token_id(special["[SEP]"])
    out.add_pad_token_id(special["[PAD]"])
    out.add_mask_token_id(special["[MASK]"])


def add_tensors(out, tensors, layers):
    names = dict(ONCE)
    for layer in range(layers):
        for theirs, ours in LAYER.items():
            for part in ("weight", "bias"):
                names[f"encoder.layer.{layer}.{theirs}.{part}"] = f"blk.{layer}.{ours}.{part}"
    for theirs, ours in names.items():
        if theirs not in tensors:
            sys.exit(f"model.safetensors has no F32 tensor {theirs}; this is not a BERT encoder")
        half = tensors[theirs].ndim == 2 and ours not in EXACT
        out.add_tensor(ours, numpy.ascontiguousarray(tensors[theirs], numpy.float16 if half else numpy.float32))


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: minilm_to_gguf.py MODEL_FOLDER OUT.gguf")
    folder, path = Path(sys.argv[1]), sys.argv[2]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text(encoding="utf-8"))
    if config["model_type"] != "bert" or not pooling["pooling_mode_mean_tokens"]:
        sys.exit(f"{folder}: only BERT encoders with mean pooling are converted here")

    out = gguf.GGUFWriter(path, "bert")
    add_description(out, config)
    add_tokenizer(out, folder, config)
    add_tensors(out, read_safetensors(folder / "model.safetensors"), config["num_hidden_layers"])
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    main()
