"""Weights from elsewhere: reading state dicts, and the published checkpoints' names for our networks' layers."""

from tryon.conversion.published import NETWORKS, convert_state_dict, key_table
from tryon.conversion.state_dict import check_state_dict, read_state_dict

__all__ = ["NETWORKS", "check_state_dict", "convert_state_dict", "key_table", "read_state_dict"]
