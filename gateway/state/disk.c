/*
 * The LMDB environment: opened after its file was checked, set aside where that finds it
 * damaged. A tree for each space, and one that says which release wrote it. Values are looked
 * at by record.c, so nothing here knows what they mean.
 *
 * MDB_NOMETASYNC: a transaction's pages are synced before its meta page is written, the meta
 * page with the next one. A power cut may so lose the last transaction, never the file; without
 * any sync (MDB_NOSYNC) it could lose the file. MDB_WRITEMAP would let a stray write of ours
 * damage it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "state/local_priv.h"

enum { TREES = STATE_SPACES + 1, MODE = 0600, NAME_BYTES = 64, PATH_BYTES = 64 };
static const char data_name[] = "data.mdb", lock_name[] = "lock.mdb";
static const char aside_name[] = "data.mdb.damaged-";
static const char about_tree[] = "about", version_key[] = "version", version[] = "postern 1";

int
disk_err(struct err *err, int code, const char *what)
{
	err_set(err, "state: %s: %s", what, mdb_strerror(code));
	err->code = code > 0 ? code : 0;
	return -1;
}

bool
disk_is_damage(int code)
{
	return code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND || code == MDB_INVALID ||
	       code == MDB_VERSION_MISMATCH || code == MDB_INCOMPATIBLE ||
	       code == MDB_PAGE_FULL || code == MDB_CURSOR_FULL || code == MDB_BAD_VALSIZE;
}

/* ---- what is set aside ---- */

static int
is_aside(const struct dirent *d)
{
	return strncmp(d->d_name, aside_name, sizeof(aside_name) - 1) == 0;
}

/* The latest stay: someone may want to look; a disk that damages all must not fill up. */
static void
forget_old(const struct disk *d)
{
	struct dirent **names;
	int n = scandirat(d->dir_fd, ".", &names, is_aside, alphasort);
	for (int i = 0; i < n; i++) {
		if (i < n - LOCAL_ASIDE_MOST)
			unlinkat(d->dir_fd, names[i]->d_name, 0);
		mem_free(names[i]);
	}
	if (n >= 0)
		mem_free(names);
}

void
disk_set_aside(struct disk *d, const char *why)
{
	char name[NAME_BYTES], stamp[24];
	struct tm tm;
	struct log_line l;
	int64_t ms = clock_wall_ms();
	time_t now = (time_t)(ms / 1000);
	must(gmtime_r(&now, &tm) != NULL);
	must(strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &tm) > 0);
	snprintf(name, sizeof(name), "%s%s.%03uZ", aside_name, stamp, (unsigned)(ms % 1000));
	disk_close(d);
	bool moved = renameat(d->dir_fd, data_name, d->dir_fd, name) == 0;
	if (!moved) /* a disk that takes no new name may let it go */
		unlinkat(d->dir_fd, data_name, 0);
	unlinkat(d->dir_fd, lock_name, 0);
	log_begin(&l, EV_STATE, NULL);
	log_text(&l, "what", "set aside");
	log_text(&l, "error", why);
	if (moved)
		log_text(&l, "file", name);
	log_end(&l);
	forget_old(d);
}

/* ---- opening ---- */

static int
open_tree(MDB_txn *txn, const char *name, MDB_dbi *dbi_out)
{
	return mdb_dbi_open(txn, name, MDB_CREATE, dbi_out);
}

/* Of this release, or new. */
static int
check_version(MDB_txn *txn, bool fresh)
{
	MDB_dbi about;
	MDB_val key = {sizeof(version_key) - 1, mem_text(version_key)}, value;
	int code = open_tree(txn, about_tree, &about);
	if (code == 0 && fresh) {
		value = (MDB_val){sizeof(version) - 1, mem_text(version)};
		code = mdb_put(txn, about, &key, &value, 0);
		mem_free(value.mv_data);
	} else if (code == 0) {
		code = mdb_get(txn, about, &key, &value);
		if (code == 0 && (value.mv_size != sizeof(version) - 1 ||
					 memcmp(value.mv_data, version, value.mv_size) != 0))
			code = MDB_VERSION_MISMATCH;
		if (code == MDB_NOTFOUND)
			code = MDB_VERSION_MISMATCH;
	}
	mem_free(key.mv_data);
	return code;
}

static int
open_trees(struct disk *d, bool fresh)
{
	MDB_txn *txn;
	MDB_stat stat;
	int code = mdb_txn_begin(d->env, NULL, 0, &txn);
	if (code != 0)
		return code;
	code = check_version(txn, fresh);
	for (int s = 0; s < STATE_SPACES && code == 0; s++)
		code = open_tree(txn, state_space_text((enum state_space)s), &d->spaces[s]);
	if (code != 0) {
		mdb_txn_abort(txn);
		return code;
	}
	code = mdb_txn_commit(txn);
	if (code == 0)
		code = mdb_txn_begin(d->env, NULL, MDB_RDONLY, &d->reader);
	if (code != 0)
		return code;
	mdb_txn_reset(d->reader);
	code = mdb_env_stat(d->env, &stat);
	d->page_bytes = stat.ms_psize;
	return code;
}

static int
open_env(struct disk *d, bool fresh)
{
	char path[PATH_BYTES]; /* the folder that is open, whoever may walk the path to it */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", d->dir_fd);
	int code = mdb_env_create(&d->env);
	if (code != 0)
		return code;
	code = mdb_env_set_mapsize(d->env, d->map_bytes);
	if (code == 0)
		code = mdb_env_set_maxdbs(d->env, TREES);
	if (code == 0)
		code = mdb_env_open(
			d->env, path, MDB_NOMETASYNC | MDB_NOTLS | MDB_NORDAHEAD, MODE);
	if (code == 0)
		code = open_trees(d, fresh);
	if (code != 0)
		disk_close(d);
	return code;
}

int
disk_open(struct disk *d, bool *fresh_out, struct err *err)
{
	struct err why;
	int there = check_file(d->dir_fd, data_name, &why);
	/* Nobody else has the folder: whatever the last one left in its table of readers is
	 * over. */
	unlinkat(d->dir_fd, lock_name, 0);
	if (there < 0)
		disk_set_aside(d, why.text);
	int code = open_env(d, there != 1);
	if (code != 0 && there == 1 && disk_is_damage(code)) {
		disk_set_aside(d, mdb_strerror(code));
		there = -1;
		code = open_env(d, true);
	}
	*fresh_out = there != 1;
	return code == 0 ? 0 : disk_err(err, code, "open its files");
}

void
disk_close(struct disk *d)
{
	if (d->reader != NULL)
		mdb_txn_abort(d->reader);
	if (d->env != NULL)
		mdb_env_close(d->env);
	d->reader = NULL;
	d->env = NULL;
}

/* ---- reading ---- */

int
disk_read_begin(struct disk *d, MDB_txn **txn_out)
{
	*txn_out = d->reader;
	return mdb_txn_renew(d->reader);
}

void
disk_read_end(struct disk *d)
{
	mdb_txn_reset(d->reader);
}

int
disk_read(struct disk *d, MDB_txn *txn, enum state_space space, struct slice key,
	MDB_val *record_out)
{
	char copy[KEY_MOST]; /* LMDB does not say that it leaves keys as they are */
	MDB_val k = {key.n, copy};
	must(key.n <= sizeof(copy));
	memcpy(copy, key.p, key.n);
	return mdb_get(txn, d->spaces[space], &k, record_out);
}
