#!/bin/bash
# The Debian package, from the programs that are built: the same programs and
# SOURCE_DATE_EPOCH make the same bytes.
# usage: build.sh BUILD-DIRECTORY VERSION   (prints the package's path)
set -euo pipefail
build=$1 version=$2
top=$(cd "$(dirname "$0")/../.." && pwd)
arch=$(dpkg --print-architecture)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(
	git -c safe.directory='*' -C "$top" log -1 --format=%ct 2>/dev/null ||
		stat -c %Y "$top/VERSION")}
umask 022
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
tree=$root/tree
mkdir -p "$tree/DEBIAN" "$root/debian"

make -s -C "$top" install-files B="$build" DESTDIR="$tree" PREFIX=/usr
for program in usr/sbin/sbcd usr/bin/sbcctl; do
	strip --strip-unneeded --remove-section=.comment "$tree/$program"
done
gzip -9n "$tree"/usr/share/man/man*/*

# dpkg-shlibdeps wants a source package around it.
printf 'Source: sbcd\n\nPackage: sbcd\nArchitecture: any\n' \
	>"$root/debian/control"
depends=$(cd "$root" && dpkg-shlibdeps -O -pshlibs \
	-S"$tree" "$tree/usr/sbin/sbcd" "$tree/usr/bin/sbcctl" 2>/dev/null |
	sed 's/^[^=]*=//')
size=$(du -k -s --apparent-size --exclude=DEBIAN "$tree" | cut -f1)
sed -e "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$size/" \
	-e "s/@DEPENDS@/$depends/" \
	"$top/vm-images/deb/control.in" >"$tree/DEBIAN/control"
for script in postinst prerm postrm; do
	install -m 0755 "$top/vm-images/deb/$script" "$tree/DEBIAN/$script"
done
(cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' |
	LC_ALL=C sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
find "$tree" -print0 | xargs -0 touch -h -d "@$SOURCE_DATE_EPOCH"

out=$build/sbcd_${version}_$arch.deb
dpkg-deb --root-owner-group -Zxz --build "$tree" "$out" >/dev/null
echo "$out"
