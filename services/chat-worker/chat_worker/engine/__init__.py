"""How a model is driven. The rest of the worker knows `interface` alone; only this folder imports openai."""
