/*
 * The milter's side of the milter protocol as a machine without I/O (MLT-01, MLT-03).
 *
 *   feed bytes -> take events, one by one -> answer those that owe one -> write the output
 *
 * While an event has not been taken or its answer is owed, or 64 KiB of output wait, feed takes
 * no bytes: that is the back-pressure. One packet may give two events, so take until there is
 * none. Answers to steps that were negotiated as not answered go nowhere, so whoever decides
 * need not know: an ACCEPT there is kept, what else comes of the mail (at CONNECT and HELO: of
 * the session) is not shown, and ACCEPT is said at the first step that is answered.
 *
 * Macros are kept until the step that they were sent for, and no longer than their mail.
 * Steps may be missing. A mail that the MTA drops without a word, by MAIL in a mail or by HELO
 * behind its header, ends with an ABORT of our own. HELO and UNKNOWN may come in an envelope
 * and change nothing of it. The last of a body may come with END: it is a BODY then, and END
 * follows where that BODY did not end the mail.
 *
 * Packets are bounded (128 KiB of data, since Postfix puts a field of up to 100 KiB into one,
 * whatever was agreed; 256 KiB or 1 MiB where negotiated), their insides checked: what is no
 * milter protocol, or a step where it cannot be, gives MILTER_EV_BAD, once and last; after it
 * and after QUIT feed takes nothing. An idle session holds no buffer.
 */
#ifndef MILTER_SERVER_H
#define MILTER_SERVER_H

#include "base/buf.h"
#include "milter/milter.h"

struct milter_server;

struct milter_server *milter_server_new(void);
void milter_server_free(struct milter_server **s);
size_t milter_server_feed(struct milter_server *s, struct slice in); /* bytes taken */
bool milter_server_event(struct milter_server *s, struct milter_event *ev_out);
/*
 * To NEGOTIATE. False: the MTA does not offer all of wants->can, or is older than version 2:
 * close; nothing is written. What was agreed is in *agreed_out.
 */
bool milter_server_negotiate(struct milter_server *s, const struct milter_wants *wants,
	struct milter_offer *agreed_out);
/*
 * To the event that owes one (must). Where the step is not answered, only CONTINUE, ACCEPT and
 * SKIP are possible (must). Edits only with CONTINUE at END (must), of the kinds agreed (must).
 * All of an answer is in the output at once, edits first and the verdict last, so that a
 * process that ends leaves the mail unmodified or unanswered (MLT-04).
 */
void milter_server_answer(struct milter_server *s, const struct milter_answer *a);
/* At END, while the answer is owed: the MTA begins its wait anew. Elsewhere nothing happens. */
void milter_server_progress(struct milter_server *s);
bool milter_server_owes(const struct milter_server *s);
struct slice milter_server_output(const struct milter_server *s);
void milter_server_written(struct milter_server *s, size_t n);

#endif
