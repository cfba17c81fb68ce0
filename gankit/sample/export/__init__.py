"""A generator as a file that runs without gankit: ONNX, torch.export, TorchScript, or weights with a configuration."""

from gankit.sample.export.export import Exported, ExportOptions, export

__all__ = ["ExportOptions", "Exported", "export"]
