tpm2_changeauth -c owner ownerauth
tpm2_changeauth -c endorsement endorsementauth
tpm2_changeauth -c lockout lockoutauth
refused 0x9a2 tpm2_createprimary -C o -G ecc -c primary.ctx
tpm2_createprimary -C o -P ownerauth -G ecc -c primary.ctx
tpm2_evictcontrol -C o -P ownerauth -c primary.ctx 0x81000001
flush
tpm2_getcap handles-persistent | grep -q 0x81000001
tpm2_clear -c l lockoutauth
persistent=$(tpm2_getcap handles-persistent)
[ -z "$persistent" ]
tpm2_createprimary -C o -G ecc -c primary.ctx
flush
tpm2_hierarchycontrol -C p shEnable clear
refused 0x185 tpm2_createprimary -C o -G ecc -c primary.ctx
tpm2_hierarchycontrol -C p shEnable set
tpm2_createpolicy --policy-pcr -l sha256:0 -L policy
tpm2_setprimarypolicy -C o -L policy -g sha256
tpm2_clearcontrol -C p s
refused 0x120 tpm2_clear -c l
tpm2_clearcontrol -C p c
tpm2_clear -c p
