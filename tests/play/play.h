/*
 * One run of a play: its script, its world, the configuration, and the driver that brings the
 * client's lines to Postern: the SMTP gate (by_gate.c), or an MTA in front of the milter
 * (by_milter.c). README.md has the language. The play owns all, a driver its `state`.
 */
#ifndef PLAY_PLAY_H
#define PLAY_PLAY_H

#include "hop.h"
#include "keeper.h"
#include "mta.h"
#include "record.h"
#include "world.h"

enum { PLAY_TEXT_MOST = 1024 * 1024, PLAY_LINES_MOST = 20000, PLAY_KEYS_MOST = 8 };

struct play;

struct driver {
	const char *name; /* a line of the script that begins with it is for this one alone */
	void (*begin)(struct play *p, const struct ip *client);
	void (*end)(struct play *p);                     /* the client is gone */
	void (*over)(struct play *p);                    /* the play is */
	size_t (*feed)(struct play *p, struct slice in); /* from the client: bytes taken */
	/* When something happens that is not the world's answer; UINT64_MAX: nothing will. */
	uint64_t (*next)(const struct play *p);
	/* The clock has gone on; answers: some were put in. */
	void (*step)(struct play *p, bool answers);
};

extern const struct driver driver_gate, driver_milter;

struct play_line {
	struct slice text; /* without the driver's name */
	bool alone;        /* for one driver alone: nothing is compared */
	bool passed_over;  /* for the other one */
};

struct play {
	struct arena *arena;
	const char *file;
	struct play_line lines[PLAY_LINES_MOST];
	size_t n_lines, at; /* the line at hand */
	const char *run;    /* its name */
	const struct driver *driver;
	void *state;
	bool by_byte;
	struct conf *conf;
	struct gate_config config; /* of the first listener */
	struct dkim_key **keys;    /* one for each `sign`, the same in each run */
	struct slice password;     /* of every account; empty: nobody can check one */
	bool signer_down;
	struct mta_habits habits;
	struct world world;
	struct hop hop;
	struct keeper keeper;
	struct buf out; /* what the client has not yet compared */
	bool connected, closed;
	int sessions;
	int events_fd;
	size_t events_read, events_recorded;
	struct record record;
	bool failed;
};

/* Says it once, with the script's line. */
__attribute__((format(printf, 2, 3))) void play_fail(struct play *p, const char *fmt, ...);
int64_t play_wall_ms(const struct play *p);
/* What a driver's machine has to say to the client. */
void play_output(struct play *p, struct slice out);
void play_ask(struct play *p, struct question *q, struct questions *scope);
/* By the play's own keys, at once; signatures_out has room for SIGN_MOST. False: nobody can. */
bool play_sign(struct play *p, const struct sign_request *requests, size_t n,
	struct slice *signatures_out);

/* script.c: one line is played, patterns that follow it too. */
void script_play_line(struct play *p);
/* The client goes; output that nothing has compared is a failure. */
void script_end_session(struct play *p);

#endif
