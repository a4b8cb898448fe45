/*
 * One mail at a time: mapped or inline, through GMime and libclamav, a report back; see
 * worker.h. It may die of any mail; who waits for it is told by its manager.
 */
#include "engine/worker.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/must.h"
#include "engine/append.h"
#include "engine/parts.h"
#include "io/child.h"
#include "io/sandbox.h"
#include "scan/append_messages.h"
#include "scan/messages.h"

enum {
	REPORT_ARENA_MOST = 32 * 1024 * 1024,
	APPEND_ARENA_MOST = 512 * 1024 * 1024, /* copies of the mail, and its text */
	KEPT_BYTES = 4 * 1024 * 1024, /* libclamav takes and frees some 200 KB for any mail */
};

static void
scan_mail(const struct worker_start *w, const struct scan_job *j, struct slice mail,
	struct arena *a, struct scan_report *r)
{
	const struct pattern_set *patterns =
		(j->want & SCAN_WANT_PATTERNS) != 0 ? w->patterns[j->set] : NULL;
	*r = (struct scan_report){.status = SCAN_CLEAN};
	r->attachments = arena_array(a, SCAN_ATTACHMENTS_MOST, sizeof(*r->attachments));
	if ((j->want & ~(unsigned)SCAN_WANT_VIRUS) != 0)
		parts_scan(mail, j->want, patterns, w->look_ms, a, r);
	if ((j->want & (SCAN_WANT_VIRUS | SCAN_WANT_ATTACHMENTS)) != 0)
		virus_engine_scan(w->engine, mail, (j->want & SCAN_WANT_HASHES) != 0, a, r);
	if ((j->want & SCAN_WANT_VIRUS) != 0)
		r->signatures = virus_engine_fingerprint(w->engine);
	if ((j->want & SCAN_WANT_ATTACHMENTS) != 0 && r->status == SCAN_CLEAN &&
		r->n_attachments == SCAN_ATTACHMENTS_MOST) {
		r->status = SCAN_UNSCANNABLE;
		r->reason = SCAN_REASON_PARTS;
		r->why = SLICE("more attachments than a report takes");
	}
}

/* The session's spill file: it does not grow any more, and what is beyond its end is not ours.
 */
static void
scan_file(const struct worker_start *w, const struct scan_job *j, int fd, struct arena *a,
	struct scan_report *r)
{
	struct stat st;
	void *map = MAP_FAILED;
	*r = (struct scan_report){
		.status = SCAN_FAILED, .why = SLICE("the mail's file cannot be read")};
	if (fstat(fd, &st) == 0 && st.st_size >= 0 && (uint64_t)st.st_size >= j->bytes &&
		j->bytes != 0)
		map = mmap(NULL, j->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return;
	scan_mail(w, j, (struct slice){map, j->bytes}, a, r);
	munmap(map, j->bytes);
}

static int
send_report(int channel, uint32_t id, const struct scan_report *r, struct err *err)
{
	struct ipc_out out;
	struct slice payload;
	ipc_out_init(&out);
	scan_report_pack(r, &out);
	must(ipc_out_ok(
		&out, &payload)); /* the bounds of a report are below those of a message */
	int result = ipc_write_blocking(channel, SCAN_MSG_REPORT, id, payload, err);
	ipc_out_fini(&out);
	return result;
}

static int
one_job(const struct worker_start *w, int channel, struct ipc_msg *m, struct err *err)
{
	struct arena *a = arena_new(REPORT_ARENA_MOST);
	struct scan_report r = {.status = SCAN_FAILED, .why = SLICE("not a scan job")};
	struct scan_job j;
	int fd = ipc_take_fd(m, 0);
	if (m->type == SCAN_MSG_SCAN && scan_job_unpack(m->payload, fd >= 0, &j)) {
		if (fd >= 0)
			scan_file(w, &j, fd, a, &r);
		else
			scan_mail(w, &j, j.body, a, &r);
	}
	if (fd >= 0)
		close(fd);
	int result = send_report(channel, m->id, &r, err);
	arena_free(&a);
	return result;
}

/* --- how a text is put under a mail */

static void
append_file(const struct append_job *j, int fd, struct arena *a, struct append_plan *p)
{
	struct stat st;
	void *map = MAP_FAILED;
	*p = (struct append_plan){
		.status = APPEND_FAILED, .why = SLICE("the mail's file cannot be read")};
	if (fstat(fd, &st) == 0 && st.st_size >= 0 && (uint64_t)st.st_size >= j->bytes &&
		j->bytes != 0)
		map = mmap(NULL, j->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return;
	append_make((struct slice){map, j->bytes}, j->text, j->html, a, p);
	munmap(map, j->bytes);
}

static int
one_append(int channel, struct ipc_msg *m, struct err *err)
{
	struct arena *a = arena_new(APPEND_ARENA_MOST);
	struct append_plan p = {.status = APPEND_FAILED, .why = SLICE("not a job")};
	struct append_job j;
	struct ipc_out out;
	struct slice payload;
	int fd = ipc_take_fd(m, 0);
	if (append_job_unpack(m->payload, fd >= 0, &j)) {
		if (fd >= 0)
			append_file(&j, fd, a, &p);
		else
			append_make(j.body, j.text, j.html, a, &p);
	}
	if (fd >= 0)
		close(fd);
	ipc_out_init(&out);
	append_plan_pack(&p, &out);
	must(ipc_out_ok(&out, &payload)); /* a plan's bounds are below those of a message */
	int result = ipc_write_blocking(channel, SCAN_MSG_PLAN, m->id, payload, err);
	ipc_out_fini(&out);
	arena_free(&a);
	return result;
}

static int
enter_sandbox(const struct worker_start *w, struct err *err)
{
	struct sandbox_spec spec;
	const char *writable[] = {w->tmp_dir, NULL};
	const char *readable[] = {"/etc/ssl/openssl.cnf", NULL};
	sandbox_spec_of(SANDBOX_SCANNER, &spec);
	spec.writable = writable;
	spec.readable = access(readable[0], R_OK) == 0 ? readable : NULL;
	spec.memory_bytes = w->memory_bytes;
	return sandbox_lock(&spec, err);
}

int
worker_main(int channel, void *arg)
{
	const struct worker_start *w = arg;
	struct ipc_msg m;
	struct err err;
	struct buf buf;
	int result = enter_sandbox(w, &err);
	buf_init(&buf, IPC_PAYLOAD_BYTES);
	mem_keep_freed(KEPT_BYTES);
	while (result == 0 && (result = ipc_read_blocking(channel, &buf, &m, &err)) == 1)
		result = m.type == SCAN_MSG_APPEND ? one_append(channel, &m, &err)
						   : one_job(w, channel, &m, &err);
	if (result < 0)
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	buf_fini(&buf);
	return result < 0 ? 1 : 0;
}

/* A mail that kills two scanners is unscannable; one that never reached any may be tried again.
 */
void
worker_failed(enum pool_failure why, struct ipc_out *out)
{
	static const char *const words[] = {[POOL_FULL] = "too many scans are waiting",
		[POOL_DIED] = "it has killed two scanners",
		[POOL_LATE] = "scanning it took too long, twice"};
	static const enum scan_reason reasons[] = {[POOL_FULL] = SCAN_REASON_NONE,
		[POOL_DIED] = SCAN_REASON_CRASHED,
		[POOL_LATE] = SCAN_REASON_TIME};
	struct scan_report r = {.status = why == POOL_FULL ? SCAN_FAILED : SCAN_UNSCANNABLE,
		.reason = reasons[why],
		.text_unread = true,
		.why = slice_of(words[why])};
	scan_report_pack(&r, out);
}

/* The same of a text to be put under it: what kills whoever looks at it is left as it is. */
void
worker_append_failed(enum pool_failure why, struct ipc_out *out)
{
	static const char *const words[] = {[POOL_FULL] = "too many scans are waiting",
		[POOL_DIED] = "it has killed two scanners",
		[POOL_LATE] = "looking at it took too long, twice"};
	struct append_plan p = {.status = why == POOL_FULL ? APPEND_FAILED : APPEND_NOT,
		.why = slice_of(words[why])};
	append_plan_pack(&p, out);
}
