/*
 * A model of an MTA that has Postern as its milter, in memory: it speaks SMTP to a client (the
 * machine of smtp/server.h), tells the milter each step in packets, says what the milter says,
 * edits its mail as told, and carries what it has taken to the play's next hop. TLS, AUTH, who
 * may relay, Received and the queue are its own, as in life.
 *
 * No I/O and no clock: its driver (by_milter.c) moves the bytes to and from the milter.
 */
#ifndef PLAY_MTA_H
#define PLAY_MTA_H

#include "conf/conf.h"
#include "hop.h"
#include "milter_client.h"

/* What kind of MTA it is: the script's `mta` lines. */
struct mta_habits {
	struct milter_client_offer offer;
	bool keeps;               /* its milter's connection, from client to client */
	struct slice gives_up_at; /* "header", "header-end", "body": once, of the next mail */
	/* beyond the script, otherwise in each run: what no milter may depend on */
	bool counts_deleted;
	size_t body_bytes; /* in a packet */
};

void mta_habits_init(struct mta_habits *h);
bool mta_habit(struct mta_habits *h, struct slice words);

struct mta_config {
	const struct conf *conf;
	const struct conf_listener *listener;
	const struct slice *password;
	struct mta_habits *habits;
	struct hop *hop;
	struct arena *arena;
};

struct mta;

/* One connection to the milter. */
struct mta *mta_new(const struct mta_config *c);
void mta_free(struct mta **m);
void mta_client_begin(struct mta *m, const struct ip *ip, const char *id, int64_t wall_ms);
/* The client is gone. False: so is the connection, once the output is written. */
bool mta_client_end(struct mta *m);
void mta_clock(struct mta *m, int64_t wall_ms);

/* With the client. */
size_t mta_feed(struct mta *m, struct slice in);
struct slice mta_output(const struct mta *m);
void mta_written(struct mta *m, size_t n);
bool mta_closes(const struct mta *m);

/* With the milter. */
struct slice mta_milter_output(const struct mta *m);
void mta_milter_written(struct mta *m, size_t n);
void mta_milter_feed(struct mta *m, struct slice in);
/* What the milter has said or done that it must not; empty: nothing. */
struct slice mta_wrong(const struct mta *m);

#endif
