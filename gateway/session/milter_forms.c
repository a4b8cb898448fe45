/*
 * What becomes of a decision where the MTA has the mail and we are its milter: each action
 * once. Actions that have no form here are refused when the configuration is read.
 */
#include "session/milter_forms.h"

const struct milter_form milter_forms[ACTION_COUNT] = {
	[ACTION_ACCEPT] = {ACTION_ACCEPT, "CONTINUE at the end of the mail, behind its edits."},
	[ACTION_REJECT] = {ACTION_REJECT, "REPLYCODE with code, enhanced code and text: of a "
					  "recipient at RCPT, of the mail "
					  "at DATA or at its end."},
	[ACTION_DEFER] = {ACTION_DEFER, "REPLYCODE, as for reject, with a 4yz."},
	[ACTION_QUARANTINE] = {ACTION_QUARANTINE,
		"QUARANTINE behind the edits, with \"NAME: FILE:LINE\" as its reason: the MTA "
		"keeps the mail (Postfix: queue hold, released by postsuper -r or -H; "
		"Sendmail: "
		"mailq -qQ, released by sendmail -Q -qQ), and postern quarantine has no part "
		"in "
		"it. Where the MTA takes no QUARANTINE: REPLYCODE with 451."},
	[ACTION_DISCARD] = {ACTION_DISCARD, "DISCARD at the end of the mail."},
	[ACTION_HOLD] = {ACTION_HOLD, "None: the mail is the MTA's to keep."},
	[ACTION_ROUTE] = {ACTION_ROUTE, "None: the way is the MTA's to choose."},
	[ACTION_SEND_FROM] = {ACTION_SEND_FROM, "None: the way is the MTA's to choose."},
	[ACTION_TAG] = {ACTION_TAG, "CHGHEADER with an empty value for each field of that "
				    "name, then INSHEADER above "
				    "the header."},
	[ACTION_REMOVE_HEADER] = {ACTION_REMOVE_HEADER,
		"CHGHEADER with an empty value for each field of that name, the last one "
		"first."},
	[ACTION_SIGN] = {ACTION_SIGN,
		"INSHEADER above all other fields, over the header as the MTA will send it."},
	[ACTION_REDIRECT] = {ACTION_REDIRECT, "DELRCPT of every recipient, then ADDRCPT."},
	[ACTION_COPY] = {ACTION_COPY, "ADDRCPT."},
	[ACTION_APPEND] = {ACTION_APPEND,
		"None: a milter can only replace the whole body, and the configuration is "
		"refused."},
	[ACTION_NOTIFY] = {ACTION_NOTIFY,
		"None: the mails that it writes need a queue of ours, and the configuration is "
		"refused."},
	[ACTION_SCORE] = {ACTION_SCORE, "Nothing of its own: it adds to a fact."},
	[ACTION_LOG] = {ACTION_LOG, "Nothing of its own: a line of our log."},
};
