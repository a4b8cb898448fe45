/*
 * One run of a library at a time: in by message, out by message; see worker.h. It may die of
 * any run; its pool starts another, and who waits for the run is told.
 */
#include "theirs/worker.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"
#include "io/sandbox.h"
#include "second/messages.h"
#include "theirs/opendkim.h"
#include "theirs/spf2.h"

enum { RUN_ARENA_MOST = 256 * 1024 * 1024 };

/* The session's spill file: it does not grow any more, and what is beyond its end is not ours.
 */
static struct slice
run_file(const struct worker_start *w, const struct second_job *j, int fd, struct arena *a)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_size < 0 || (uint64_t)st.st_size < j->bytes ||
		j->bytes == 0)
		return SLICE_NONE;
	void *map = mmap(NULL, j->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return SLICE_NONE;
	struct slice output =
		opendkim_run(w->opendkim, j->input, (struct slice){map, j->bytes}, a);
	munmap(map, j->bytes);
	return output;
}

static struct slice
run(const struct worker_start *w, const struct second_job *j, int fd, struct arena *a)
{
	switch (j->engine) {
	case SECOND_SPF2: return spf2_run(j->input, a);
	case SECOND_OPENDKIM:
		return fd >= 0 ? run_file(w, j, fd, a)
			       : opendkim_run(w->opendkim, j->input, j->body, a);
	case SECOND_ENGINES: break;
	}
	return SLICE_NONE;
}

static int
one_job(const struct worker_start *w, int channel, struct ipc_msg *m, struct err *err)
{
	struct arena *a = arena_new(RUN_ARENA_MOST);
	struct slice output = SLICE_NONE, payload;
	struct second_job j;
	struct ipc_out out;
	int fd = ipc_take_fd(m, 0);
	if (m->type == SECOND_MSG_RUN && second_job_unpack(m->payload, fd >= 0, &j))
		output = run(w, &j, fd, a);
	if (fd >= 0)
		close(fd);
	ipc_out_init(&out);
	second_output_pack(output, &out);
	must(ipc_out_ok(&out, &payload)); /* outputs are of bounded names and numbers */
	int result = ipc_write_blocking(channel, SECOND_MSG_OUTPUT, m->id, payload, err);
	ipc_out_fini(&out);
	arena_free(&a);
	return result;
}

static int
enter_sandbox(const struct worker_start *w, struct err *err)
{
	struct sandbox_spec spec;
	struct sandbox_missing missing;
	sandbox_spec_of(SANDBOX_ENGINE, &spec);
	spec.memory_bytes = w->memory_bytes;
	return sandbox_enter(&spec, &missing, err);
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
	while (result == 0 && (result = ipc_read_blocking(channel, &buf, &m, &err)) == 1)
		result = one_job(w, channel, &m, &err);
	if (result < 0)
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	buf_fini(&buf);
	return result < 0 ? 1 : 0;
}

void
worker_failed(enum pool_failure why, struct ipc_out *out)
{
	(void)why; /* the log has it: the worker's end, or its clock */
	second_output_pack(SLICE_NONE, out);
}
