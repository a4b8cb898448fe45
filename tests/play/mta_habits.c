/* What kind of MTA a script asks for: `mta` lines; see mta.h and README.md. */
#include "mta.h"

void
mta_habits_init(struct mta_habits *h)
{
	*h = (struct mta_habits){.offer = {.version = SMFI_PROT_VERSION,
					 .can = SMFI_CURR_ACTS,
					 .steps = SMFI_CURR_PROT},
		.body_bytes = MILTER_CHUNK_SIZE};
	struct slice *macros = h->offer.macros;
	macros[SMFIM_CONNECT] = SLICE("j {daemon_name}");
	macros[SMFIM_HELO] = SLICE("{tls_version} {cipher}");
	macros[SMFIM_ENVFROM] = SLICE("i {auth_type} {auth_authen} {mail_addr}");
	macros[SMFIM_ENVRCPT] = SLICE("i {rcpt_addr}");
	macros[SMFIM_DATA] = macros[SMFIM_EOH] = macros[SMFIM_EOM] = SLICE("i");
}

/* `without` one of these: the bits that are not on offer. */
static bool
leave_out(struct milter_client_offer *o, struct slice word)
{
	static const struct {
		const char *word;
		uint32_t can, steps;
	} rows[] = {
		{"NO", 0,
			SMFIP_NOCONNECT | SMFIP_NOHELO | SMFIP_NOMAIL | SMFIP_NORCPT |
				SMFIP_NOBODY | SMFIP_NOHDRS | SMFIP_NOEOH | SMFIP_NOUNKNOWN |
				SMFIP_NODATA},
		{"NR", 0,
			SMFIP_NR_CONN | SMFIP_NR_HELO | SMFIP_NR_MAIL | SMFIP_NR_RCPT |
				SMFIP_NR_DATA | SMFIP_NR_UNKN | SMFIP_NR_EOH | SMFIP_NR_BODY |
				SMFIP_NR_HDR},
		{"SKIP", 0, SMFIP_SKIP},
		{"LEADSPC", 0, SMFIP_HDR_LEADSPC},
		{"SETSYMLIST", SMFIF_SETSYMLIST, 0},
		{"QUARANTINE", SMFIF_QUARANTINE, 0},
	};
	if (slice_eq(word, SLICE("macros"))) {
		o->no_macros = true;
		o->can &= ~(uint32_t)SMFIF_SETSYMLIST;
		return true;
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!slice_eq(word, slice_of(rows[i].word)))
			continue;
		o->can &= ~rows[i].can;
		o->steps &= ~rows[i].steps;
		return true;
	}
	return false;
}

static bool
set_version(struct milter_client_offer *o, struct slice word)
{
	uint64_t version;
	if (!slice_u64(word, &version) || version < 2 || version > SMFI_PROT_VERSION)
		return false;
	o->version = (uint32_t)version;
	if (version < SMFI_PROT_VERSION) {
		o->can &= SMFI_V2_ACTS;
		o->steps &= SMFI_V2_PROT |
			    (version > 2 ? SMFIP_NOUNKNOWN | (uint32_t)SMFIP_NODATA : 0);
	}
	return true;
}

/* An MTA that sends what it wants to send. */
static bool
set_macros(struct milter_client_offer *o, struct slice words)
{
	static const char *const stages[MILTER_CLIENT_STAGES] = {
		"connect", "helo", "mail", "rcpt", "data", "end", "header-end"};
	struct slice stage;
	slice_cut(words, ' ', &stage, &words);
	for (size_t i = 0; i < MILTER_CLIENT_STAGES; i++) {
		if (!slice_eq(stage, slice_of(stages[i])))
			continue;
		o->macros[i] = words;
		o->can &= ~(uint32_t)SMFIF_SETSYMLIST;
		return true;
	}
	return false;
}

bool
mta_habit(struct mta_habits *h, struct slice words)
{
	struct slice verb, word;
	slice_cut(words, ' ', &verb, &words);
	if (slice_eq(verb, SLICE("version")))
		return set_version(&h->offer, words);
	if (slice_eq(verb, SLICE("macros")))
		return set_macros(&h->offer, words);
	if (slice_eq(verb, SLICE("gives-up-at"))) {
		h->gives_up_at = words;
		return true;
	}
	if (slice_eq(verb, SLICE("keeps")))
		return h->keeps = true;
	if (!slice_eq(verb, SLICE("without")) || words.n == 0)
		return false;
	while (words.n != 0) {
		slice_cut(words, ' ', &word, &words);
		if (!leave_out(&h->offer, word))
			return false;
	}
	return true;
}
