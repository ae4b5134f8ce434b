/** The page GPUs, and what other pages say of GPUs. */

export const en = {
  "nav.gpus": "GPUs",
  "gpus.none": "This server has no GPU.",
  "gpus.name": "GPU",
  "gpus.state": "State",
  "gpus.model": "Model",
  "gpus.tasks": "Tasks",
  "gpus.utilization": "Utilization",
  "gpus.memory": "Memory",
  "gpus.temperature": "Temperature",
  "gpus.power": "Power",
  "gpuState.starting": "starting",
  "gpuState.ready": "ready",
  "gpuState.hot": "hot",
  "gpuState.draining": "draining",
  "gpuState.drained": "drained",
  "gpuState.unfit": "unfit",
  "gpuState.faulted": "faulted",
  "gpuState.lost": "lost",
};

/** @type {typeof en} */
export const tr = {
  "nav.gpus": "GPU'lar",
  "gpus.none": "Bu sunucuda GPU yok.",
  "gpus.name": "GPU",
  "gpus.state": "Durum",
  "gpus.model": "Model",
  "gpus.tasks": "Görevler",
  "gpus.utilization": "Kullanım",
  "gpus.memory": "Bellek",
  "gpus.temperature": "Sıcaklık",
  "gpus.power": "Güç",
  "gpuState.starting": "başlıyor",
  "gpuState.ready": "hazır",
  "gpuState.hot": "fazla sıcak",
  "gpuState.draining": "boşaltılıyor",
  "gpuState.drained": "boşaltıldı",
  "gpuState.unfit": "uygun değil",
  "gpuState.faulted": "arızalı",
  "gpuState.lost": "kayıp",
};
