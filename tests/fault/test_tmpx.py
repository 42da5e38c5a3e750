import threading
import psc
from tests.fault.test_network import *
def test_x(pair, monkeypatch):
    import psc.transport.pump as P
    import time
    log=[]
    orig=P.PumpChannel._tell_abort
    def tell(self, code):
        log.append((time.monotonic(),"tell begin",code, threading.current_thread().name)); 
        orig(self, code); log.append((time.monotonic(),"tell end"))
    monkeypatch.setattr(P.PumpChannel,"_tell_abort",tell)
    oc=P.PumpChannel.close
    def close(self):
        log.append((time.monotonic(),"close begin", self._telling, self._error)); oc(self); log.append((time.monotonic(),"close end"))
    monkeypatch.setattr(P.PumpChannel,"close",close)
    for _ in range(150):
        log.clear()
        cancel, threads = psc.Cancel(), []
        def throw(cancel=cancel, threads=threads):
            threads.append(threading.Thread(target=cancel.set)); threads[0].start()
        outcome = pair.run(pair.match(), tap=at("blinded_items", throw), cancel=cancel)
        threads[0].join()
        if outcome.initiator is None: continue
        if (outcome.responder_record.status, outcome.responder_record.code) != ("cancelled", "transport.aborted-cancelled"):
            print(outcome.initiator, outcome.responder_record)
            for l in log: print(l)
            for l in pair.log[-6:]: print(l)
            raise AssertionError
