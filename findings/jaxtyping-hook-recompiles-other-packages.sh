#!/usr/bin/env bash
# jaxtyping 0.3.11: while its import hook loads a module of the package that it checks, everything
# that this module imports first is loaded under jaxtyping's cache tag as well, other packages
# included. Their installed bytecode does not count then: each is compiled again and, where bytecode
# may be written, stands twice in __pycache__. With torch and its relatives behind such an import the
# compilation takes many seconds, on each start where none is written (PYTHONDONTWRITEBYTECODE=1).
# Importing the packages before the hooked one avoids it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check jaxtyping==0.3.11 packaging==25.0
cd "$folder"
echo 'import packaging.version' > ours.py
cached() { # the bytecode file of packaging.version, after the imports given
  env/bin/python -c "
from jaxtyping import install_import_hook
$1
with install_import_hook('ours', None):
    import ours
import packaging.version
print(packaging.version.__spec__.cached.rsplit('/', 1)[1])"
}
first=$(cached "") then=$(cached "import packaging.version")
echo "first imported by the hooked module: $first"
echo "imported before: $then"
case $first in
  *jaxtyping*) ;;
  *) echo "changed: another package keeps its own bytecode" >&2; exit 1 ;;
esac
case $then in *jaxtyping*) echo "changed: imported before, it has jaxtyping's bytecode" >&2; exit 1 ;; esac
