/* libspf2 for spf_cases; see spf_second.h. */
#include "spf_second.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "second/messages.h"
#include "serving.h"

struct spf_second {
	struct serving serving;
};

struct spf_second *
spf_second_new(void)
{
	struct spf_second *s = MEM_NEW(struct spf_second);
	char path[PATH_MAX], fd[16], name[] = "postern-engine", c[] = "-c";
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	must(n > 0);
	path[n] = '\0';
	snprintf(strrchr(path, '/'), 32, "/postern-engine");
	int control = serving_prepare(&s->serving);
	snprintf(fd, sizeof(fd), "%d", control);
	char *argv[] = {name, c, fd, NULL};
	struct child_spec spec = {.kind = "engine", .path = path, .argv = argv};
	serving_start(&s->serving, &spec, control);
	return s;
}

void
spf_second_free(struct spf_second **s)
{
	if (*s == NULL)
		return;
	serving_stop(&(*s)->serving);
	mem_free(*s);
	*s = NULL;
}

static struct slice
run(struct spf_second *s, struct slice input, struct arena *a)
{
	struct second_job job = {.engine = SECOND_SPF2, .input = input};
	struct ipc_out out;
	struct slice payload, output;
	ipc_out_init(&out);
	second_job_pack(&job, &out);
	must(ipc_out_ok(&out, &payload));
	serving_clear(&s->serving);
	const struct serving_answer *answer =
		serving_ask_and_wait(&s->serving, SECOND_MSG_RUN, payload, -1);
	ipc_out_fini(&out);
	must(!answer->lost && second_output_unpack(buf_slice(&answer->payload), &output));
	return arena_slice(a, output);
}

int
spf_second_check(struct spf_second *s, const struct spf_second_dns *dns,
	struct engine_spf2_request *request, struct arena *a,
	struct engine_spf2_reply *reply_out)
{
	request->n_answers = 0;
	request->answers = arena_array(a, ENGINE_SPF2_ANSWERS_MOST, sizeof(*request->answers));
	for (int runs = 1;; runs++) {
		struct slice input = engine_spf2_pack_request(request, a);
		if (input.n == 0 || !engine_spf2_unpack_reply(run(s, input, a), a, reply_out))
			return 0;
		if (reply_out->done)
			return runs;
		for (size_t i = 0; i < reply_out->n_wanted; i++) {
			if (request->n_answers == ENGINE_SPF2_ANSWERS_MOST)
				return 0;
			struct engine_spf2_answer *to = &request->answers[request->n_answers++];
			*to = reply_out->wanted[i];
			dns->look_up(dns->arg, to->name, to->type, a, &to->answer);
		}
	}
}
