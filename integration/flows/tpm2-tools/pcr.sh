digest=$(printf measured | sha256sum | cut -d ' ' -f 1)
tpm2_pcrextend "16:sha256=$digest"
expected=$(printf '%064d%s' 0 "$digest" | xxd -r -p | sha256sum | cut -d ' ' -f 1)
tpm2_pcrread sha256:16 | grep -qi "0x$expected"
tpm2_pcrreset 16
tpm2_pcrread sha256:16 | grep -q "0x$(printf '%064d' 0)"
printf 'an event' >event
tpm2_pcrevent 16 event | grep -q "sha256: $(sha256sum event | cut -d ' ' -f 1)"
# Only locality 4 resets PCR 17.
refused 0x907 tpm2_pcrreset 17
