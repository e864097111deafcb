/*
 * What the peers of harness.h say: SDP, requests of a dialog, answers; and
 * what no message may show. Included by harness.h alone.
 */
#ifndef TEST_SIP_HARNESS_MESSAGE_H
#define TEST_SIP_HARNESS_MESSAGE_H

static UNUSED const char *bracketed(const char *ip)
{
	static char text[4][64];
	static unsigned turn;
	char *out = text[turn++ % 4];

	snprintf(out, 64, strchr(ip, ':') ? "[%s]" : "%s", ip);
	return out;
}

static UNUSED const char *sdp_text(const char *ip, int port, const char *more)
{
	static char texts[4][2048];
	static unsigned turn;
	char *text = texts[turn++ % 4];
	int v6 = strchr(ip, ':') != NULL;

	snprintf(
		text, sizeof(texts[0]),
		"v=0\r\no=- 1 1 IN IP%d %s\r\ns=-\r\nc=IN IP%d %s\r\nt=0 0\r\n"
		"m=audio %d RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
		"%s",
		v6 ? 6 : 4, ip, v6 ? 6 : 4, ip, port, more);
	return text;
}

/* A dialog from a peer's point of view. */
struct dlg {
	struct ua *u;
	char call_id[256], local[512], remote[512], target[512];
	unsigned cseq, branch;
	char last_branch[64];
};

static UNUSED void finish(char *out, size_t n, const char *sdp)
{
	snprintf(out + n, TEXT_SIZE - n, "%sContent-Length: %zu\r\n\r\n%s",
		 sdp && *sdp && !strstr(out, "Content-Type:")
			 ? "Content-Type: application/sdp\r\n"
			 : "",
		 sdp ? strlen(sdp) : 0, sdp ? sdp : "");
}

static UNUSED const char *make_request(struct dlg *d, const char *method,
				       unsigned cseq, const char *extra,
				       const char *sdp)
{
	static char out[TEXT_SIZE];
	static unsigned serial;
	int n;

	if (strcmp(method, "CANCEL"))
		snprintf(d->last_branch, sizeof(d->last_branch),
			 "z9hG4bKt%u-%d", ++serial, getpid());
	n = snprintf(out, sizeof(out),
		     "%s %s SIP/2.0\r\n"
		     "Via: SIP/2.0/%s %s:5060;branch=%s\r\n"
		     "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n"
		     "Max-Forwards: 70\r\nContact: <sip:u@%s:5060%s>\r\n%s",
		     method, d->target, d->u->tcp ? "TCP" : "UDP",
		     bracketed(d->u->ip), d->last_branch, d->local, d->remote,
		     d->call_id, cseq, method, bracketed(d->u->ip),
		     d->u->tcp ? ";transport=tcp" : "", extra ? extra : "");
	finish(out, (size_t)n, sdp);
	return out;
}

static UNUSED void request(struct dlg *d, const char *method, const char *extra,
			   const char *sdp)
{
	ua_send(d->u, make_request(d, method, ++d->cseq, extra, sdp));
}

static UNUSED void ack(struct dlg *d, const char *sdp)
{
	ua_send(d->u, make_request(d, "ACK", d->cseq, NULL, sdp));
}

/* A new outgoing call of `u` to `number`. */
static UNUSED void dlg_new(struct dlg *d, struct ua *u, const char *number)
{
	static unsigned serial;

	memset(d, 0, sizeof(*d));
	d->u = u;
	d->cseq = 10;
	snprintf(d->call_id, sizeof(d->call_id), "c%u-%d@%s", ++serial,
		 getpid(), u->ip);
	snprintf(d->local, sizeof(d->local), "\"Alice\" <sip:alice@%s>;tag=l%u",
		 bracketed(u->ip), serial);
	snprintf(d->remote, sizeof(d->remote), "<sip:%s@%s>", number,
		 bracketed(u->sbc));
	snprintf(d->target, sizeof(d->target), "sip:%s@%s:5060", number,
		 bracketed(u->sbc));
}

static UNUSED void set_target(struct dlg *d, const char *msg)
{
	const char *contact = header(msg, "Contact");
	size_t n;

	if (!contact)
		return;
	contact = strchr(contact, '<') + 1;
	n = strcspn(contact, ">");
	snprintf(d->target, sizeof(d->target), "%.*s", (int)n, contact);
}

/* Takes tag and target of the response in u->msg. */
static UNUSED void learn(struct dlg *d)
{
	snprintf(d->remote, sizeof(d->remote), "%s", header(d->u->msg, "To"));
	set_target(d, d->u->msg);
}

/* The dialog of the callee that got the INVITE in u->msg. */
static UNUSED void dlg_accept(struct dlg *d, struct ua *u)
{
	memset(d, 0, sizeof(*d));
	d->u = u;
	d->cseq = 500;
	snprintf(d->call_id, sizeof(d->call_id), "%s",
		 header(u->msg, "Call-ID"));
	snprintf(d->local, sizeof(d->local), "%s;tag=callee",
		 header(u->msg, "To"));
	snprintf(d->remote, sizeof(d->remote), "%s", header(u->msg, "From"));
	set_target(d, u->msg);
}

/* Answers the request `req`. */
static UNUSED void answer_to(struct ua *u, const char *req, int status,
			     const char *tag, const char *extra,
			     const char *sdp)
{
	static char out[TEXT_SIZE];
	const char *to = header(req, "To");
	int n;

	n = snprintf(
		out, sizeof(out),
		"SIP/2.0 %d %s\r\nVia: %s\r\nFrom: %s\r\nTo: %s%s%s\r\n"
		"Call-ID: %s\r\nCSeq: %s\r\nContact: <sip:b@%s:5060%s>\r\n%s",
		status, status < 200 ? "Ringing" : "Whatever",
		header(req, "Via"), header(req, "From"), to,
		strstr(to, ";tag=") || !tag ? "" : ";tag=",
		strstr(to, ";tag=") || !tag ? "" : tag, header(req, "Call-ID"),
		header(req, "CSeq"), bracketed(u->ip),
		u->tcp ? ";transport=tcp" : "", extra ? extra : "");
	finish(out, (size_t)n, sdp);
	ua_send(u, out);
}

/* No address of `ips` in the message. */
static UNUSED void hidden(const char *msg, const char *const *ips)
{
	for (; *ips; ips++)
		if (strstr(msg, *ips))
			fail_msg("%s is shown in:\n%s", *ips, msg);
}

#endif
