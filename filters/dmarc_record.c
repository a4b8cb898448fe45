/*
 * The DMARC record (RFC 9989 4.7): read leniently where the RFC says so. Only v= must be right;
 * what is unknown or malformed is passed over and its default holds, with the one exception of
 * the policy tags, which decide whether the record asks for anything at all.
 */
#include "filters/dmarc.h"
#include "filters/tag.h"

static bool
policy_word(struct slice value, enum dmarc_policy *out)
{
	if (slice_eq_nocase(value, SLICE("none")))
		*out = DMARC_ASK_NONE;
	else if (slice_eq_nocase(value, SLICE("quarantine")))
		*out = DMARC_ASK_QUARANTINE;
	else if (slice_eq_nocase(value, SLICE("reject")))
		*out = DMARC_ASK_REJECT;
	else
		return false;
	return true;
}

/* At least one address that reports can go to. */
static bool
has_uri(struct slice value)
{
	struct slice item;
	while (tag_list_next(&value, ',', &item)) {
		if (slice_starts_nocase(item, SLICE("mailto:")) && slice_has(item, '@'))
			return true;
	}
	return false;
}

enum { TAG_P, TAG_SP, TAG_NP, TAG_RUA, TAG_PSD, TAG_T, TAG_ADKIM, TAG_ASPF, TAG_NAMES };
static const char *const names[TAG_NAMES] = {
	"p", "sp", "np", "rua", "psd", "t", "adkim", "aspf"};

/* The first of each name counts; there are at most so many bytes as a TXT record holds. */
static void
collect(struct slice rest, struct slice value[TAG_NAMES], bool there[TAG_NAMES])
{
	struct tag tag;
	for (enum tag_step step; (step = tag_next(&rest, true, &tag)) != TAG_STEP_END;) {
		if (step == TAG_STEP_BAD)
			continue;
		for (size_t i = 0; i < TAG_NAMES; i++) {
			if (!there[i] && slice_eq_nocase(tag.name, slice_of(names[i]))) {
				there[i] = true;
				value[i] = tag.value;
			}
		}
	}
}

/* 4.7: p=, sp= or np= that is not valid makes a reporting-only record, or none. */
static void
read_policies(const struct slice *value, const bool *there, struct dmarc_record *r)
{
	bool valid = there[TAG_P] && policy_word(value[TAG_P], &r->p);
	r->sp = r->p;
	valid = valid && (!there[TAG_SP] || policy_word(value[TAG_SP], &r->sp));
	r->np = r->sp;
	valid = valid && (!there[TAG_NP] || policy_word(value[TAG_NP], &r->np));
	r->usable = valid || (there[TAG_RUA] && has_uri(value[TAG_RUA]));
	if (!valid)
		r->p = r->sp = r->np = DMARC_ASK_NONE;
}

bool
dmarc_record_parse(struct slice text, struct dmarc_record *record_out)
{
	struct slice rest = slice_trim(text), value[TAG_NAMES] = {0};
	bool there[TAG_NAMES] = {false};
	struct tag tag;
	*record_out = (struct dmarc_record){0};
	if (tag_next(&rest, true, &tag) != TAG_STEP_TAG ||
		!slice_eq_nocase(tag.name, SLICE("v")) || !slice_eq(tag.value, SLICE("DMARC1")))
		return false;
	collect(rest, value, there);
	read_policies(value, there, record_out);
	if (slice_eq_nocase(value[TAG_PSD], SLICE("y")))
		record_out->psd = DMARC_PSD_YES;
	else if (slice_eq_nocase(value[TAG_PSD], SLICE("n")))
		record_out->psd = DMARC_PSD_NO;
	record_out->testing = slice_eq_nocase(value[TAG_T], SLICE("y"));
	record_out->strict_dkim = slice_eq_nocase(value[TAG_ADKIM], SLICE("s"));
	record_out->strict_spf = slice_eq_nocase(value[TAG_ASPF], SLICE("s"));
	return true;
}
