#!/usr/bin/env python3
"""Small tokenizers of the kinds that no npm package of models has: WordPiece and Unigram.

Trained by the official `tokenizers` on this repository's documents and on the texts of the chat vectors; what they are
good for is having every part that such a tokenizer.json has.

Needs the Python package tokenizers.
Run:  python3 train.py      -> writes wordpiece.json and unigram.json next to this file
"""
import glob, json, os
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../../..")
VOCABULARY = 1500


def texts():
    for path in sorted(glob.glob(os.path.join(ROOT, "docs/*.md")) + [os.path.join(ROOT, "README.md")]):
        with open(path, encoding="utf-8") as file:
            yield from file.read().split("\n\n")
    with open(os.path.join(HERE, "../chat/renderings.json"), encoding="utf-8") as file:
        for case in json.load(file)["cases"]:
            yield case.get("rendered", "")


def wordpiece():
    """As BERT's."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(texts(), trainers.WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    cls, sep = ("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[cls, sep])
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.save(os.path.join(HERE, "wordpiece.json"), pretty=False)


def unigram():
    """As T5's, without its precompiled character map."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(texts(), trainers.UnigramTrainer(
        vocab_size=VOCABULARY, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    end = ("</s>", tokenizer.token_to_id("</s>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[end])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.save(os.path.join(HERE, "unigram.json"), pretty=False)


if __name__ == "__main__":
    wordpiece()
    unigram()
