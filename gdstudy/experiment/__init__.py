"""From a study to cells and from cells to rows: the only place where training meets its closed form.

Writes no file and shows nothing."""
