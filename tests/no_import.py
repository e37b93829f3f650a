"""An adapter's module that falls over."""

raise RuntimeError("this module cannot be imported")
