"""Vision-language checkpoints of random weights, a few hundred kilobytes each, with processors.

Model, image processor, tokenizer and chat template are made here and written by the library's own
`save_pretrained`, so that what is loaded has the layout of a published checkpoint. Nothing is
downloaded: the tokenizer is a byte-level BPE learnt from the sentences below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_CORPUS = (
    "These are frames of a video. Which object is nearer to the camera?",
    "Options: A. the table B. the chair C. the lamp D. none of them",
    "Answer with the option's letter from the given choices directly.",
    "Answer with yes or no. Answer with a single number. How many chairs are there?",
    "Left, right, above, below, in front of, behind: where is the sofa? yes no The answer is 3.5 m",
)
_SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<pad>", "<image>", "<video>",
    "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
    "<fake_token_around_image>", "<global-img>", "<end_of_utterance>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4)),
)  # fmt: skip

_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}IMAGE"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}


def tokenizer(bos: bool = False) -> Any:
    """A byte-level BPE that knows every text and every family's special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(_CORPUS, trainer)
    if bos:
        made.post_processor = processors.TemplateProcessing(
            single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<|endoftext|>" if bos else None,
        eos_token="<|im_end|>",
        pad_token="<pad>",
        extra_special_tokens={
            "image_token": "<image>",
            "video_token": "<video>",
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
            "end_of_utterance_token": "<end_of_utterance>",
        },
    )


def _qwen2_5_vl(words: Any) -> tuple[Any, Any]:
    return _qwen("qwen2_5_vl", words, "Qwen2_5_VLProcessor", "Qwen2VLVideoProcessor", _qwen_sight())


def _qwen2_vl(words: Any) -> tuple[Any, Any]:
    sight = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2}
    return _qwen("qwen2_vl", words, "Qwen2VLProcessor", "Qwen2VLVideoProcessor", sight)


def _qwen_sight() -> dict[str, Any]:
    return {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 32,
        "fullatt_block_indexes": [1],
        "window_size": 56,
    }


def _qwen(
    kind: str, words: Any, processor: str, video: str, sight: dict[str, Any]
) -> tuple[Any, Any]:
    import transformers

    config = _config(
        kind,
        text_config={
            **_TEXT,
            "vocab_size": len(words),
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2],
            },
        },
        vision_config={**sight, "patch_size": 14, "spatial_merge_size": 2},
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|vision_end|>"),
    )  # fmt: skip
    # This family reads its placeholders off the tokenizer, too, where it names any.
    words.image_token, words.video_token = "<|image_pad|>", "<|video_pad|>"
    size = {"shortest_edge": 28 * 28 * 4, "longest_edge": 28 * 28 * 16}
    made = getattr(transformers, processor)(
        image_processor=transformers.Qwen2VLImageProcessor(size=size),
        tokenizer=words,
        video_processor=getattr(transformers, video)(),
        chat_template=_CHAT.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    )
    return config, made


def _llava_onevision(words: Any) -> tuple[Any, Any]:
    import transformers

    pinpoints = [[28, 28], [28, 56], [56, 28], [56, 56]]
    config = _config(
        "llava_onevision",
        text_config={"model_type": "qwen2", **_TEXT, "vocab_size": len(words)},
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
            "vision_use_head": False,
        },
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
    )
    made = transformers.LlavaOnevisionProcessor(
        image_processor=transformers.LlavaOnevisionImageProcessor(
            size={"height": 28, "width": 28}, image_grid_pinpoints=pinpoints
        ),
        tokenizer=words,
        video_processor=transformers.LlavaOnevisionVideoProcessor(size={"height": 28, "width": 28}),
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=_CHAT.replace("IMAGE", "<image>\n"),
    )
    return config, made


def _idefics3(words: Any) -> tuple[Any, Any]:
    import transformers

    config = _config(
        "idefics3",
        text_config={
            "model_type": "llama",
            **_TEXT,
            "vocab_size": len(words),
            "pad_token_id": words.pad_token_id,
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 8,
        },
        scale_factor=2,
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )
    made = transformers.Idefics3Processor(
        image_processor=transformers.Idefics3ImageProcessor(
            size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
        ),
        tokenizer=words,
        image_seq_len=4,
        chat_template=_CHAT.replace("IMAGE", "<image>"),
    )
    return config, made


# name -> what makes its config and its processor. SmolVLM is Idefics3 with videos, whose processor
# needs a package more (num2words).
_FAMILIES: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen2_vl": _qwen2_vl,
    "llava_onevision": _llava_onevision,
    "idefics3": _idefics3,
}
FAMILIES: Sequence[str] = tuple(_FAMILIES)


def save(name: str, folder: Path, seed: int = 0, bos: bool = False) -> Path:
    """Write a tiny checkpoint of one family, as `save_pretrained` does."""
    import torch
    from transformers import AutoModelForImageTextToText

    words = tokenizer(bos)
    config, processor = _FAMILIES[name](words)
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(config)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            # The library's small initial weights would leave all words alike, and a picture unseen.
            if "norm" not in key and weight.ndim > 1:
                weight.normal_(0, 2.0 * weight[0].numel() ** -0.5)
    model.generation_config.eos_token_id = words.eos_token_id
    model.generation_config.pad_token_id = words.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _config(model_type: str, **settings: Any) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(model_type, **settings)
