# A persistent key outlives its transient copy.
tpm2_createprimary -C o -G ecc -c primary.ctx
tpm2_evictcontrol -C o -c primary.ctx 0x81000003
flush
tpm2_readpublic -c 0x81000003
tpm2_evictcontrol -C o -c 0x81000003
refused 0x18b tpm2_readpublic -c 0x81000003
