"""Models by name, as the Hugging Face Hub's libraries load and save them: a folder, or a model of the Hub.

A folder needs neither the network nor an extra. Models of the Hub need ``pip install tryon-kernels[hub]``; then the
class is huggingface_hub's `ModelHubMixin` too and has its `push_to_hub`.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tryon.card import copy_card
from tryon.errors import InputError
from tryon.files import make_folder
from tryon.weights import RECORD_FILE, copy_model

try:
    import huggingface_hub as hub
except ModuleNotFoundError:
    hub = None

if TYPE_CHECKING:
    from typing_extensions import Self

EXTRA = "pip install tryon-kernels[hub]"

_Mixin: Any = object if hub is None else hub.ModelHubMixin


class HubModel(_Mixin):
    """What a model class inherits to be loaded and saved by name. It has `load` and knows its ``folder``."""

    folder: Path | None

    @classmethod
    @abstractmethod
    def load(cls, folder: str | Path, device: str = "cpu", precision: str | None = None, graph: bool = True) -> Self:
        """Load a model folder."""

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        device: str = "cpu",
        precision: str | None = None,
        graph: bool = True,
        **download: Any,
    ) -> Self:
        """Load a model by its name.

        Args:
            name: a model folder, such as RUN/student; where there is no such folder, a model of the Hugging Face Hub,
                ``owner/name``, which is fetched and kept in the Hub's own cache.
            device: as torch names it.
            precision: as the class takes it.
            graph: as the class takes it.
            download: what `huggingface_hub.snapshot_download` takes: ``revision``, ``token``, ``cache_dir``,
                ``local_files_only`` and others. Of no meaning for a folder.

        Raises:
            InputError: there is no such model, a file of it is missing or damaged, or the Hub cannot be reached.
                Weights are never initialised in place of missing ones.
        """
        if Path(name).is_dir():
            return cls.load(name, device, precision, graph)
        return cls.load(_fetched(str(name), download), device, precision, graph)

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """Save the model's files and its card to a folder.

        Args:
            save_directory: the folder. A card in it that somebody has written or edited stays.
            options: those of `ModelHubMixin.save_pretrained`, as ``push_to_hub=True, repo_id=...``.

        Returns:
            The commit's address where the model went to the Hub, else None.

        Raises:
            InputError: the model's own folder is gone, this one cannot be written into, or the extra is missing.
        """
        make_folder(Path(save_directory))
        if hub is not None:
            self._hub_mixin_config = None  # model.json says what the model is: no config.json beside it
            return super().save_pretrained(save_directory, **options)
        if options:
            raise InputError(f"save_pretrained: found {', '.join(options)}, which the Hub's library does: {EXTRA}")
        self._save_pretrained(Path(save_directory))
        return None

    def _save_pretrained(self, save_directory: Path) -> None:
        if self.folder is None:
            raise InputError("save_pretrained: found a model that was not loaded from a folder, wanted one that was")
        copy_model(self.folder, save_directory)
        copy_card(self.folder, save_directory)


def _fetched(name: str, download: dict[str, Any]) -> Path:
    """The folder of a model of the Hub, fetched where it is not there yet."""
    if hub is None:
        raise InputError(f"{name}: no such folder; models of the Hugging Face Hub need {EXTRA}")
    wanted = [RECORD_FILE, "*.safetensors", "README.md"]
    try:
        return Path(hub.snapshot_download(name, allow_patterns=wanted, **download))
    except (hub.errors.HFValidationError, hub.errors.EntryNotFoundError, OSError) as error:  # HTTP errors are OSErrors
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise InputError(f"{name}: no such folder, and the Hugging Face Hub has not given it ({reason})") from None
