#!/bin/sh
# Lays alignd and what it needs into the virtual environment STAGE/usr/lib/alignd, of this root's
# Python, from wheels alone: `environment.sh STAGE`. What alignd never uses is left out.
set -eu

stage=$1
home=/usr/lib/alignd
python=$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')

"/usr/bin/$python" -m venv --without-pip "$stage$home"
"$TOOLS/bin/pip" --python "$stage$home/bin/python3" install --quiet --no-index --no-deps \
    --no-compile --no-warn-script-location "$WHEELS"/*.whl dist/*.whl

# Nothing remembers where it was built.
sed -i '/^command = /d' "$stage$home/pyvenv.cfg"
sed -i "1s,.*,#!$home/bin/python3," "$stage$home/bin/alignd"
cd "$stage$home/bin"
find . -mindepth 1 ! -name python3 ! -name "$python" ! -name alignd -delete
ln -sf "/usr/bin/$python" "$python"
ln -sf "$python" python3
rm -rf "$stage$home/.gitignore" "$stage$home/include" "$stage$home/share" "$stage$home/lib64"

cd "$stage$home/lib/$python/site-packages"
# Of a wheel that pip has put here, and of those who compile against it.
rm -f ./*.dist-info/RECORD ./*.dist-info/INSTALLER ./*.dist-info/REQUESTED \
    ./*.dist-info/direct_url.json
find . -name '*.c' -delete -o -name '*.h' -delete -o -name '*.pxd' -delete \
    -o -name '*.pxi' -delete -o -name '*.pyx' -delete -o -name '*.pyi' -delete \
    -o -name py.typed -delete
# Tests of others.
rm -rf sqlalchemy/testing alembic/testing alembic/templates
# Colours of source in terminals, and Markdown there: rich imports them when it is asked to.
rm -rf pygments markdown_it mdurl
# Of the languages of the world those that alignd speaks.
find babel/locale-data -name '*.dat' ! -name root.dat ! -name 'en*.dat' ! -name 'cs*.dat' \
    ! -name 'da*.dat' ! -name 'de*.dat' -delete
find . -depth -type d -empty -delete
# Modules that were commands, of whichever Python.
find . -name '*.py' -exec sed -i '1s/^#!.*//' {} +

# Whatever is missing now is missed here, and not on a relay.
"$stage$home/bin/python3" -B -I - <<'END'
import importlib, pkgutil
import alignd, imapclient, lxml.etree, psycopg
for module in pkgutil.walk_packages(alignd.__path__, "alignd."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert psycopg.pq.__impl__ == "binary", psycopg.pq.__impl__
END

complete() {
    shell=$1 file=$2
    mkdir -p "$stage${file%/*}"
    _ALIGND_COMPLETE=${shell}_source "$stage$home/bin/python3" -B -I \
        -c 'from alignd.cli.main import main; main(prog_name="alignd")' >"$stage$file"
    [ -s "$stage$file" ]
}
complete bash /usr/share/bash-completion/completions/alignd
complete zsh /usr/share/zsh/vendor-completions/_alignd
complete fish /usr/share/fish/vendor_completions.d/alignd.fish
