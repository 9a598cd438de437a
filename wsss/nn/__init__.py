"""Backbones, networks and image transforms that several stages share."""
