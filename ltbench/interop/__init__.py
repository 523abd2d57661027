"""Other people's files: official and diffusers checkpoints, samples made elsewhere, exports."""
