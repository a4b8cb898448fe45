/*
 * A process that serves others (io/control.h), with this test as its parent and its session:
 * started, asked one thing after another, stopped. Everything waits for at most ten seconds and
 * fails loudly after them.
 */
#ifndef TESTS_SERVING_H
#define TESTS_SERVING_H

#include <sys/types.h>

#include "base/buf.h"
#include "io/child.h"
#include "io/ipc.h"
#include "io/loop.h"
#include "io/peer.h"

enum { SERVING_ANSWERS_MOST = 64 };

struct serving;

struct serving_answer {
	struct serving *serving;
	bool here, lost; /* lost: the process is gone, or never answered */
	uint16_t type;
	struct buf payload;
};

struct serving {
	struct loop *loop;
	struct loop_timer late;
	bool timed_out, ready, gone;
	struct ipc *control;
	struct peer *peer;
	pid_t pid;
	struct serving_answer answers[SERVING_ANSWERS_MOST];
	unsigned asked, answered;
};

/* The control channel that the process is to inherit: what runs it has to be told its number.
 */
int serving_prepare(struct serving *s);
/* spec: what runs; what it keeps is filled in here. Waits until the process is ready. */
void serving_start(struct serving *s, struct child_spec *spec, int control_fd);
/* The number of the answer; fd: -1, or one that goes along. */
unsigned serving_ask(struct serving *s, uint16_t type, struct slice payload, int fd);
/* Until all that was asked is answered. */
void serving_wait(struct serving *s);
const struct serving_answer *
serving_ask_and_wait(struct serving *s, uint16_t type, struct slice payload, int fd);
void serving_run_for(struct serving *s, uint32_t ms);
/* Forgets the answers; what was asked must be answered. */
void serving_clear(struct serving *s);
/* Told to stop; it must end with status 0. */
void serving_stop(struct serving *s);

#endif
