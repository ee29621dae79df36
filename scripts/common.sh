# Shared by scripts/test, scripts/demo and scripts/bench, which source it: installing what is missing, building,
# a throw-away server, and the end of all that was started.
#
# What runs as root: apt-get and `make install`. What doesn't: the build's and the server's processes, since
# PostgreSQL refuses root. Everything lives in $work, a directory that end_everything removes.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${TIDEMARK_CACHE:-${HOME:-/tmp}/.cache/tidemark}
pg_config=${PG_CONFIG:-}
work=
started=() # processes in the background, which end_everything ends

say() { echo "== $*"; }
fail() { echo "$(basename "$0"): $*" >&2; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# The user that runs servers: the caller, or postgres (else nobody) where the caller is root.
server_user() {
	if [ "$(id -u)" != 0 ]; then id -un
	elif id postgres > /dev/null 2>&1; then echo postgres
	else echo nobody; fi
}

as_server_user() {
	if [ "$(id -u)" != 0 ]; then "$@"
	else HOME=$work setpriv --reuid="$(server_user)" --regid="$(id -gn "$(server_user)")" --init-groups "$@"; fi
}

# --- installing ----------------------------------------------------------------------------------

apt_updated=
# Once in a run: a new machine may have no lists of packages, or old ones.
apt_update() {
	[ -z "$apt_updated" ] || return 0
	as_root apt-get update -qq
	apt_updated=yes
}

apt_install() {
	local missing=() package
	for package in "$@"; do
		dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q ' installed$' || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	command -v apt-get > /dev/null || fail "please install: ${missing[*]}"
	say "installing ${missing[*]}"
	apt_update
	# all of them, so that what is there already has the same version: a server and its headers
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > /dev/null
}

# The distribution's own PostgreSQL, without the cluster that its package would create and start.
install_postgresql() {
	local version marker=/etc/postgresql-common/createcluster.d/tidemark.conf
	version=$({ ls /usr/lib/postgresql/*/bin/postgres 2> /dev/null || true; } | sed 's,.*/postgresql/\([0-9]*\)/.*,\1,' | sort -n | head -1)
	if [ -z "$version" ]; then
		apt_update
		apt_install postgresql-common
		version=$(apt-cache depends postgresql | sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p')
		as_root mkdir -p "$(dirname $marker)"
		echo 'create_main_cluster = false' | as_root tee $marker > /dev/null
	fi
	apt_install "postgresql-$version" "postgresql-server-dev-$version"
	as_root rm -f $marker
	pg_config=/usr/lib/postgresql/$version/bin/pg_config
}

install_for_build() {
	apt_install build-essential librdkafka-dev procps
	if [ -z "$pg_config" ]; then install_postgresql; fi
	[ -x "$pg_config" ] || pg_config=$(command -v "$pg_config") || fail "there is no pg_config \"$pg_config\""
	bindir=$("$pg_config" --bindir)
	pgxs=$(dirname "$(dirname "$(dirname "$("$pg_config" --pgxs)")")")
	[ -f "$("$pg_config" --pgxs)" ] || fail "$pg_config has no server development files"
}

install_for_kafka() {
	command -v java > /dev/null || apt_install default-jre-headless
	command -v mvn > /dev/null || apt_install maven
	"$root/scripts/kafka" fetch
}

# --- the place of work ---------------------------------------------------------------------------

make_work_directory() {
	work=$(mktemp -d "${TMPDIR:-/tmp}/tidemark.XXXXXX") # sockets are in there: a short path
	chmod 755 "$work"
	trap end_everything EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

# Ends the server that a process-id file names, if there still is one.
end_server() { # FILE
	local pid
	pid=$(head -1 "$1")
	[ -n "$pid" ] && tr '\0' '\n' < "/proc/$pid/cmdline" 2> /dev/null | grep -qE '^(.*/)?postgres$' || return 0
	kill -QUIT "$pid" 2> /dev/null || true # a server's immediate end takes its children along
	for _ in $(seq 50); do
		kill -0 "$pid" 2> /dev/null || return 0
		sleep 0.1
	done
	kill -9 "$pid" 2> /dev/null || true
}

end_everything() {
	local status=${1:-$?} file pid
	trap - EXIT
	trap '' INT TERM HUP
	for pid in ${started[@]+"${started[@]}"}; do
		kill "$pid" 2> /dev/null || continue
		wait "$pid" 2> /dev/null || true
	done
	if [ -n "$work" ]; then
		for file in $(find "$work" \( -name postmaster.pid -o -name kafka.pid \) 2> /dev/null); do
			case $file in
			*/kafka.pid) "$root/scripts/kafka" kill "$(dirname "$file")" ;;
			*) end_server "$file" ;;
			esac
		done
		if [ -n "${keep:-}" ]; then echo "kept: $work"; else rm -rf "$work"; fi
	fi
	exit $status
}

# Builds a copy of the tree, so that the tree stays as it is, whatever versions it is built for.
build_and_install() { # [WERROR=1]
	mkdir "$work/tree"
	tar -C "$root" --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude=./tmp_check -cf - . | tar -C "$work/tree" -xf -
	chown -R "$(server_user)" "$work/tree"
	say "building for $("$pg_config" --version)"
	as_server_user make -s -C "$work/tree" -j"$(nproc)" PG_CONFIG="$pg_config" "$@" || return 1
	as_root make -s -C "$work/tree" PG_CONFIG="$pg_config" "$@" install
}

# --- a throw-away server -------------------------------------------------------------------------

# Data and socket in $work/DIR. Only the server's user and root reach the socket; where the settings make it listen on
# TCP, the password in $work/DIR/password is asked for.
start_server() { # DIR PORT SETTINGS
	local dir=$work/$1
	as_root install -d -o "$(server_user)" "$dir"
	od -An -N12 -tx1 /dev/urandom | tr -d ' \n' | as_server_user sh -c 'umask 077 && cat > "$1"' sh "$dir/password"
	as_server_user "$bindir/initdb" -D "$dir/data" -U postgres --auth-local=trust --auth-host=scram-sha-256 \
		--pwfile="$dir/password" -N -E UTF8 --locale=C > "$work/initdb.log" 2>&1 || {
		cat "$work/initdb.log"
		return 1
	}
	as_server_user tee -a "$dir/data/postgresql.conf" > /dev/null <<-CONF
	port = $2
	listen_addresses = ''
	unix_socket_directories = '$dir'
	unix_socket_permissions = 0700
	shared_preload_libraries = 'tidemark'
	max_worker_processes = 32
	$3
	CONF
	as_server_user "$bindir/pg_ctl" -D "$dir/data" -l "$dir/log" -s -w -t 60 start < /dev/null || {
		tail -n 30 "$dir/log"
		return 1
	}
}

sql() { # DIR DATABASE ARGUMENT...: psql, with errors as errors
	local dir=$1 database=$2
	shift 2
	as_server_user "$bindir/psql" -X -q -v ON_ERROR_STOP=1 -h "$work/$dir" -p "$(sed -n 4p "$work/$dir/data/postmaster.pid")" \
		-U postgres -d "$database" "$@"
}

stop_server() { # DIR
	as_server_user "$bindir/pg_ctl" -D "$work/$1/data" -s -m fast -w stop
}
