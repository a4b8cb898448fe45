/* Shared by the files of the MTA of the plays; nobody else includes it. */
#ifndef PLAY_MTA_PRIV_H
#define PLAY_MTA_PRIV_H

#include "mta.h"
#include "mta_mail.h"
#include "smtp/server.h"

enum { MTA_TEXT_MOST = 16 * 1024 * 1024, MTA_ID_BYTES = 32 };

/* What of a mail's text is told next. */
enum mta_part { MTA_HEADER, MTA_HEADER_END, MTA_BODY, MTA_END, MTA_TOLD };

struct mta {
	struct mta_config config;
	struct arena *arena;
	struct milter_client milter;
	struct slice wrong;
	/* the client */
	struct smtp_server *server;
	struct smtp_server_limits limits;
	struct smtp_offer offer;
	struct ip ip;
	char id[MTA_ID_BYTES];
	int64_t wall_ms;
	struct slice helo, user, tls_version, tls_cipher;
	bool esmtp, in_network, closed;
	unsigned mails;
	enum smtp_event_type owed; /* the event that waits for the milter's word */
	/* the mail */
	bool milter_has_mail; /* as far as the milter knows */
	bool passes;          /* ACCEPT: nothing more of it is told */
	bool drops;           /* DISCARD: likewise */
	struct address sender, rcpt;
	struct smtp_mail_params params;
	struct smtp_rcpt_params rcpt_params;
	struct relay_rcpt *rcpts;
	size_t n_rcpts, rcpts_room;
	struct buf text;
	struct mta_mail mail;
	enum mta_part part;
	size_t field, body_at;
	bool skips, gives_up, kept;
	struct milter_client_reply *edits; /* done when the verdict is there */
	size_t n_edits, edits_room;
};

/* mta.c */
/* A command; where the milter does not want it nothing is said. */
void mta_tell(struct mta *m, char command, struct slice data);
/* The same, and `owed` waits for what is said to it. */
void mta_tell_step(struct mta *m, enum smtp_event_type owed, char command, struct slice data);
void mta_reply(struct mta *m, struct smtp_reply r);

/* mta_client.c */
void mta_dispatch(struct mta *m, const struct smtp_event *ev);
void mta_mail_over(struct mta *m); /* however it ended */
void mta_set_offer(struct mta *m); /* what EHLO has on offer now */
void
mta_add_rcpt(struct mta *m, const struct address *a, const struct smtp_rcpt_params *params);

/* mta_text.c: the end of the data */
void mta_text_begin(struct mta *m);
/* Tells on, until an answer is awaited or the mail is taken. */
void mta_text_go_on(struct mta *m);
void mta_note_edit(struct mta *m, const struct milter_client_reply *edit);

#endif
