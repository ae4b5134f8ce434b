/** Section 5 of the API document, as it stands there. */
export const DOCUMENT_CONFIG = `
gpu:
  enabled: true
  multi_gpu:
    enabled: true
    default_strategy: "least_loaded"
    strategies:
      - "round_robin"
      - "least_loaded"
      - "memory_optimized"
      - "task_specific"
      - "random"
    batch_split: true
    min_batch_size_per_gpu: 4
    max_concurrent_tasks_per_gpu: 8
    memory_threshold: 0.9
    utilization_threshold: 0.95
    task_specific_mappings:
      image_segmentation: "gpu_0"
      text_generation: "gpu_1"
`;
