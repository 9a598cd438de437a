"""The recipes of the data stage: one of the kinds of data sets."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wsss.data.kind import Data, Purpose, Split
from wsss.data.kinds.folder import FolderData
from wsss.data.kinds.toy import ToyData
from wsss.data.kinds.voc import VOC_CLASSES, VocData

__all__ = ["VOC_CLASSES", "Data", "DataRecipe", "Purpose", "Split"]
__all__ += ["FolderData", "ToyData", "VocData"]

DataRecipe = Annotated[ToyData | VocData | FolderData, Field(discriminator="kind")]
