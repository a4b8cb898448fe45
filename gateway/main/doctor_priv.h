/*
 * `postern doctor` in files: tool_doctor.c runs the checks and prints them, doctor_dns.c looks
 * at names and addresses, doctor_auth.c at SPF, DKIM and DMARC, doctor_machine.c at the clock,
 * the spool, certificates and listeners, doctor_neighbours.c asks scanners beside us,
 * doctor_keeper.c the keeper. Nobody else includes it.
 */
#ifndef MAIN_DOCTOR_PRIV_H
#define MAIN_DOCTOR_PRIV_H

#include "main/answers.h"
#include "main/generation.h"
#include "main/json.h"
#include "main/tool.h"

enum doctor_state { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };
enum { DOCTOR_ADDRESSES_MOST = 16 };

struct doctor {
	const struct tool *tool;
	struct arena *arena;
	const struct generation *generation;
	const struct conf *conf;
	struct answers *answers;
	struct questions questions; /* of all checks: each name is asked once */
	bool json, listen;
	const char *dns_file;
	/* the addresses that our mails leave from */
	struct ip addresses[DOCTOR_ADDRESSES_MOST];
	size_t n_addresses;
	bool given; /* by --address */
	enum doctor_state worst;
	struct json out;
};

/*
 * One line of the result. check: "ptr", "spf", ...; subject: what was looked at; found: the
 * evidence; advice: what to do, NULL where there is nothing to do.
 */
void
doctor_say(struct doctor *d, enum doctor_state state, const char *check, struct slice subject,
	struct slice found, const char *advice, ...) __attribute__((format(printf, 6, 7)));

/* Never NULL. */
const struct dns_answer *doctor_dns(struct doctor *d, struct slice name, enum dns_type type);
/* "does not exist", "the DNS does not answer", ... of an answer that is not DNS_OK. */
struct slice doctor_dns_text(const struct dns_answer *a);
/* A and AAAA of a name: whether one of them is ours; *any_out: there are some. */
bool doctor_is_ours(struct doctor *d, struct slice host, bool *any_out, bool *failed_out);

/* The domains that we send for: declared, or with a `sign`; each once. */
struct slice *doctor_domains(struct doctor *d, size_t *n_out);
bool doctor_sends_direct(const struct doctor *d);

void doctor_addresses(struct doctor *d);
void doctor_ptr(struct doctor *d);
void doctor_helo(struct doctor *d);
void doctor_mx(struct doctor *d);
void doctor_spf(struct doctor *d);
void doctor_dkim(struct doctor *d);
void doctor_dmarc(struct doctor *d);
void doctor_clock(struct doctor *d);
void doctor_spool(struct doctor *d);
void doctor_certificates(struct doctor *d);
void doctor_listeners(struct doctor *d);
void doctor_keeper(struct doctor *d);
void doctor_neighbours(struct doctor *d);

#endif
