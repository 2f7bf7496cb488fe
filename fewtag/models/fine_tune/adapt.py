"""Says which part of a classifier learns: all of it, its head, or a few parameters that peft adds; a table of methods.

The trap: a body that was trained by averaging its tokens has a pooler that was never trained, so the pooler counts as head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fewtag.errors import ModelError
from fewtag.models.fine_tune.settings import Method, TrainSettings

ADAPTER: Final = "adapter"
"""The folder, within a saved classifier's, of what peft cannot merge."""
ALPHA_PER_RANK: Final = 2
POOLER: Final = "pooler"
TRAINED_COPY: Final = ".modules_to_save.default"
UNTRAINED_COPY: Final = ".original_module."
"""How peft calls a head that learns, and the same as it was before."""


@dataclass(frozen=True, slots=True)
class Way:
    """One method: how it makes a model ready for so many steps, its learning rate, what peft is to do at the end.

    `checkpoints` is False where a checkpoint would not hold all that has been learnt: a killed run then begins anew, nothing stops it
    early, and its last state is kept rather than its best.
    """

    prepare: Callable[[Any, TrainSettings, int], Any]
    learning_rate: float
    merges: bool = False
    checkpoints: bool = True


def prepare(model: Any, settings: TrainSettings, steps: int) -> Any:
    """Return a transformers classifier made ready to learn by the method that settings name; raises ModelError where peft is missing."""
    return WAYS[settings.method].prepare(model, settings, steps)


def merged(model: Any, method: Method) -> Any:
    """Return the model with what peft added folded into its weights, where that is possible; else as it is."""
    return model.merge_and_unload() if WAYS[method].merges else model


def save_adapted(model: Any, folder: Path) -> None:
    """Write a classifier as a transformers folder; what peft cannot merge goes into its folder `adapter`, the trained head into both."""
    if not hasattr(model, "peft_config"):
        model.save_pretrained(folder)
        return
    base = model.get_base_model()
    weights = {name.replace(TRAINED_COPY, ""): each for name, each in base.state_dict().items() if UNTRAINED_COPY not in name}
    base.save_pretrained(folder, state_dict=weights)
    model.save_pretrained(folder / ADAPTER)


def load_adapter(model: Any, folder: Path) -> Any:
    """Return a loaded classifier with the adapter that lies in its folder, if there is one."""
    return _peft().PeftModel.from_pretrained(model, folder / ADAPTER) if (folder / ADAPTER).is_dir() else model


def orthogonality(model: Any) -> Any:
    """Return how far AdaLoRA's singular vectors are from orthogonal: its penalty, weighted (Zhang et al. 2023, eq. 4)."""
    import torch

    config = model.peft_config["default"]
    norms = []
    for name, parameter in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            vectors = parameter if "lora_A" in name else parameter.T
            norms.append(torch.linalg.norm(vectors @ vectors.T - torch.eye(len(vectors), device=vectors.device)))
    return config.orth_reg_weight * torch.stack(norms).mean()


def _full(model: Any, settings: TrainSettings, steps: int) -> Any:
    """Let all learn but the embeddings and the first layers, where settings freeze some."""
    if settings.freeze_layers:
        body = model.base_model
        layers = _layers(body)
        if settings.freeze_layers > len(layers):
            problem = f"freeze_layers is {settings.freeze_layers}, and the model has {len(layers)} layers"
            raise ModelError(problem, mend=f"give at most {len(layers)}, or use method 'frozen'")
        for part in (body.embeddings, *layers[: settings.freeze_layers]):
            part.requires_grad_(False)
    return model


def _frozen(model: Any, settings: TrainSettings, steps: int) -> Any:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.split(".")[0] in _heads(model) or f".{POOLER}." in name)
    return model


def _lora(model: Any, settings: TrainSettings, steps: int) -> Any:
    return _adapted(model, "LoraConfig", r=settings.rank, lora_alpha=ALPHA_PER_RANK * settings.rank, target_modules="all-linear")


def _adalora(model: Any, settings: TrainSettings, steps: int) -> Any:
    """Start each matrix with half as many ranks again, and take the least useful away between the first tenth and the last third.

    Which those are is judged by running means that peft does not save, and a state from before is over the budget.
    """
    return _adapted(
        model,
        "AdaLoraConfig",
        init_r=settings.rank + (settings.rank + 1) // 2,
        target_r=settings.rank,
        lora_alpha=ALPHA_PER_RANK * settings.rank,
        tinit=steps // 10,
        tfinal=steps // 3,
        total_step=max(steps, 2),
        deltaT=max(1, steps // 50),
        target_modules="all-linear",
    )


def _prefix(model: Any, settings: TrainSettings, steps: int) -> Any:
    return _adapted(model, "PrefixTuningConfig", num_virtual_tokens=settings.prefix_length)


def _adapted(model: Any, config: str, **arguments: Any) -> Any:
    peft = _peft()
    return peft.get_peft_model(model, getattr(peft, config)(task_type="SEQ_CLS", modules_to_save=[*_heads(model), POOLER], **arguments))


WAYS: Final[dict[Method, Way]] = {
    "full": Way(_full, 2e-4),
    "frozen": Way(_frozen, 1e-3),
    "lora": Way(_lora, 2e-3, merges=True),
    "adalora": Way(_adalora, 2e-3, merges=True, checkpoints=False),
    "prefix": Way(_prefix, 1e-2),
}


def _heads(model: Any) -> list[str]:
    """Return the names of the parts that are no body, such as `classifier`."""
    return [name for name, part in model.named_children() if name != model.base_model_prefix and any(True for _ in part.parameters())]


def _layers(body: Any) -> Any:
    from torch.nn import ModuleList

    return next(part for part in body.modules() if isinstance(part, ModuleList))


def _peft() -> Any:
    try:
        import peft
    except ImportError:
        raise ModelError("peft is not installed", mend='pip install "fewtag[tune]"') from None
    return peft
